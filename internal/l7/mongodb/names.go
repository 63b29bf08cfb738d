package mongodb

// commandName is the constant for a command whose argument is a collection;
// known is false for others.
func commandName(b []byte) (name string, known bool) {
	switch string(b) {
	case "find":
		return "find", true
	case "insert":
		return "insert", true
	case "update":
		return "update", true
	case "delete":
		return "delete", true
	case "aggregate":
		return "aggregate", true
	case "count":
		return "count", true
	case "distinct":
		return "distinct", true
	case "getMore":
		return "getMore", true // its argument is a cursor: no text
	case "findAndModify":
		return "findAndModify", true
	case "findandmodify":
		return "findandmodify", true
	case "killCursors":
		return "killCursors", true
	case "create":
		return "create", true
	case "drop":
		return "drop", true
	case "createIndexes":
		return "createIndexes", true
	case "dropIndexes":
		return "dropIndexes", true
	case "deleteIndexes":
		return "deleteIndexes", true
	case "listIndexes":
		return "listIndexes", true
	case "collMod":
		return "collMod", true
	case "collStats", "collstats":
		return "collStats", true
	case "validate":
		return "validate", true
	case "compact":
		return "compact", true
	case "reIndex":
		return "reIndex", true
	case "mapReduce", "mapreduce":
		return "mapReduce", true
	case "geoNear":
		return "geoNear", true
	case "geoSearch":
		return "geoSearch", true
	case "group":
		return "group", true
	case "planCacheClear":
		return "planCacheClear", true
	case "createSearchIndexes":
		return "createSearchIndexes", true
	case "hello":
		return "hello", true
	case "isMaster":
		return "isMaster", true
	case "ismaster":
		return "ismaster", true
	case "ping":
		return "ping", true
	}
	return "", false
}

// serverCode: the server, or the cluster behind it, is at fault, not what was
// asked (https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml:
// the categories NetworkError, Interruption, NotPrimaryError, ShutdownError, and
// internal ones).
func serverCode(code int64) bool {
	switch code {
	case 1, 8, // InternalError, UnknownError
		6, 7, 89, 9001, // HostUnreachable, HostNotFound, NetworkTimeout, SocketException
		24, 46, 50, 64, // LockTimeout, LockBusy, MaxTimeMSExpired, WriteConcernFailed
		91, 11600, // ShutdownInProgress, InterruptedAtShutdown
		189, 10107, 11602, 13435, 13436, 10058, // not the primary
		133, 134, 202, 262, 290, 317, 358, // no reader found, time limits, pools
		14031: // OutOfDiskSpace
		return true
	}
	return false
}
