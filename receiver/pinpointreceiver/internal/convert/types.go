package convert

// serviceType is what a code of Pinpoint's stands for.
type serviceType struct {
	name  string
	props props
}

// typeOf is the type of a code; without a name if it is not known.
func typeOf(code int32) serviceType {
	if code == -1 {
		return serviceType{"UNDEFINED", terminal}
	}
	if uint32(code) < uint32(len(serviceTypes)) {
		return serviceTypes[code]
	}
	return serviceType{}
}

type props uint8

// Properties, as Pinpoint has them.
const (
	remote      props = 1 << iota // RECORD_STATISTICS: the call itself, not a helper around it
	terminal                      // the callee is never instrumented
	queued                        // a message broker
	destination                   // INCLUDE_DESTINATION_ID
	alias
)

// really are remote calls without the property: https://github.com/pinpoint-apm
// plugins of ioredis, MongoDB reactive, Elasticsearch.
func really(code int32) bool {
	switch code {
	case 8202, 2652, 9203, 9204, 9205, 9206:
		return true
	}
	return false
}

// class is what sort of work an event is.
type class uint8

const (
	classInternal class = iota
	classServer
	classDatabase
	classQueue
	classRPC
)

// classOf goes by the ranges of codes.
func classOf(code int32) class {
	switch {
	case code >= 1000 && code < 2000:
		return classServer
	case code >= 2000 && code < 3000, code >= 8000 && code < 8300, code >= 8800 && code < 8900:
		return classDatabase
	case code >= 8300 && code < 8800:
		return classQueue
	case code >= 9000 && code < 10000:
		return classRPC
	}
	return classInternal
}

// consumer reports whether a PSpan of that type took a message from a queue.
func consumer(code int32) bool { return classOf(code) == classQueue || code == 1703 }

// isRemote reports whether an event is the call of another system.
func isRemote(code int32) bool {
	c := classOf(code)
	if c != classDatabase && c != classRPC && c != classQueue {
		return false
	}
	return typeOf(code).props&remote != 0 || really(code)
}

// dbSystem is db.system.name of a code, "" if none is known.
func dbSystem(code int32) string {
	switch {
	case code >= 2100 && code <= 2103:
		return "mysql"
	case code >= 2150 && code <= 2153:
		return "mariadb"
	case code == 2160 || code == 2161:
		return "ibm.db2"
	case code >= 2200 && code <= 2253:
		return "microsoft.sql_server"
	case code >= 2300 && code <= 2303:
		return "oracle.db"
	case code == 2340 || code == 2341:
		return "dameng"
	case code == 2400 || code == 2401:
		return "cubrid"
	case code == 2450 || code == 2451:
		return "ibm.informix"
	case code >= 2500 && code <= 2503:
		return "postgresql"
	case code >= 2600 && code <= 2603:
		return "cassandra"
	case code >= 2650 && code <= 2652:
		return "mongodb"
	case code == 2700 || code == 2701:
		return "couchdb"
	case code >= 2750 && code <= 2753:
		return "h2database"
	case code == 2800 || code == 2801:
		return "clickhouse"
	case code == 8050 || code == 8051:
		return "memcached"
	case code >= 8100 && code <= 8103:
		return "arcus"
	case code >= 8200 && code <= 8206:
		return "redis"
	case code == 8280:
		return "etcd"
	case code >= 8800 && code <= 8803:
		return "hbase"
	case code >= 9201 && code <= 9206:
		return "elasticsearch"
	case code == 2050 || code == 2051:
		return "other_sql"
	}
	return ""
}

// messagingSystem is messaging.system of a code.
func messagingSystem(code int32) string {
	switch {
	case code == 8300 || code == 8301:
		return "rabbitmq"
	case code == 8310 || code == 8311:
		return "activemq"
	case code == 8400 || code == 8401:
		return "rocketmq"
	case code == 8501 || code == 8502:
		return "mqtt"
	case code >= 8660 && code <= 8662:
		return "kafka"
	case code == 8670 || code == 8671:
		return "pulsar"
	case code == 1702 || code == 1703:
		return "celery"
	}
	return ""
}

// rpcSystem is rpc.system.name of a code.
func rpcSystem(code int32) string {
	switch code {
	case 9160, 9161, 1130, 9162:
		return "grpc"
	case 9110, 9111, 9997, 9999, 1110, 1999:
		return "dubbo"
	case 9100, 1100:
		return "thrift"
	}
	return ""
}

// language of an application type.
func language(code int32) string {
	switch {
	case code == 1800 || code == 1801:
		return "go"
	case code == 1400 || code == 1401:
		return "nodejs"
	case code >= 1700 && code <= 1703:
		return "python"
	case code == 1500 || code == 1501:
		return "php"
	case code == 1300 || code == 1301:
		return "cpp"
	case code >= 1000 && code < 1300:
		return "java"
	}
	return ""
}
