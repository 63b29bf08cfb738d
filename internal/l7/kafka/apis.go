package kafka

// api is one kind of request: what Kafka calls it, its newest version, and the
// version from which it is written in the flexible form (compact lengths,
// tagged fields). From Kafka's message definitions,
// https://kafka.apache.org/protocol#protocol_api_keys (4.1).
type api struct {
	name     string
	max      int8
	flexible int8
}

// never: no version is flexible.
const never = 127

// slack is how many versions newer than the table are believed: their headers
// are known even if their bodies are not.
const slack = 3

// apis by api key.
var apis = [...]api{
	0:  {name: "Produce", max: 13, flexible: 9},
	1:  {name: "Fetch", max: 18, flexible: 12},
	2:  {name: "ListOffsets", max: 11, flexible: 6},
	3:  {name: "Metadata", max: 13, flexible: 9},
	4:  {name: "LeaderAndIsr", max: 7, flexible: 4},
	5:  {name: "StopReplica", max: 4, flexible: 2},
	6:  {name: "UpdateMetadata", max: 8, flexible: 6},
	7:  {name: "ControlledShutdown", max: 3, flexible: 3},
	8:  {name: "OffsetCommit", max: 10, flexible: 8},
	9:  {name: "OffsetFetch", max: 10, flexible: 6},
	10: {name: "FindCoordinator", max: 6, flexible: 3},
	11: {name: "JoinGroup", max: 9, flexible: 6},
	12: {name: "Heartbeat", max: 4, flexible: 4},
	13: {name: "LeaveGroup", max: 5, flexible: 4},
	14: {name: "SyncGroup", max: 5, flexible: 4},
	15: {name: "DescribeGroups", max: 6, flexible: 5},
	16: {name: "ListGroups", max: 5, flexible: 3},
	17: {name: "SaslHandshake", max: 1, flexible: never},
	18: {name: "ApiVersions", max: 5, flexible: 3},
	19: {name: "CreateTopics", max: 7, flexible: 5},
	20: {name: "DeleteTopics", max: 6, flexible: 4},
	21: {name: "DeleteRecords", max: 2, flexible: 2},
	22: {name: "InitProducerId", max: 6, flexible: 2},
	23: {name: "OffsetForLeaderEpoch", max: 4, flexible: 4},
	24: {name: "AddPartitionsToTxn", max: 5, flexible: 3},
	25: {name: "AddOffsetsToTxn", max: 4, flexible: 3},
	26: {name: "EndTxn", max: 5, flexible: 3},
	27: {name: "WriteTxnMarkers", max: 2, flexible: 1},
	28: {name: "TxnOffsetCommit", max: 6, flexible: 3},
	29: {name: "DescribeAcls", max: 3, flexible: 2},
	30: {name: "CreateAcls", max: 3, flexible: 2},
	31: {name: "DeleteAcls", max: 3, flexible: 2},
	32: {name: "DescribeConfigs", max: 4, flexible: 4},
	33: {name: "AlterConfigs", max: 2, flexible: 2},
	34: {name: "AlterReplicaLogDirs", max: 2, flexible: 2},
	35: {name: "DescribeLogDirs", max: 5, flexible: 2},
	36: {name: "SaslAuthenticate", max: 2, flexible: 2},
	37: {name: "CreatePartitions", max: 3, flexible: 2},
	38: {name: "CreateDelegationToken", max: 3, flexible: 2},
	39: {name: "RenewDelegationToken", max: 2, flexible: 2},
	40: {name: "ExpireDelegationToken", max: 2, flexible: 2},
	41: {name: "DescribeDelegationToken", max: 3, flexible: 2},
	42: {name: "DeleteGroups", max: 3, flexible: 2},
	43: {name: "ElectLeaders", max: 2, flexible: 2},
	44: {name: "IncrementalAlterConfigs", max: 1, flexible: 1},
	45: {name: "AlterPartitionReassignments", max: 1, flexible: 0},
	46: {name: "ListPartitionReassignments", max: 0, flexible: 0},
	47: {name: "OffsetDelete", max: 0, flexible: never},
	48: {name: "DescribeClientQuotas", max: 1, flexible: 1},
	49: {name: "AlterClientQuotas", max: 1, flexible: 1},
	50: {name: "DescribeUserScramCredentials", max: 0, flexible: 0},
	51: {name: "AlterUserScramCredentials", max: 0, flexible: 0},
	52: {name: "Vote", max: 2, flexible: 0},
	53: {name: "BeginQuorumEpoch", max: 1, flexible: 1},
	54: {name: "EndQuorumEpoch", max: 1, flexible: 1},
	55: {name: "DescribeQuorum", max: 2, flexible: 0},
	56: {name: "AlterPartition", max: 3, flexible: 0},
	57: {name: "UpdateFeatures", max: 2, flexible: 0},
	58: {name: "Envelope", max: 0, flexible: 0},
	59: {name: "FetchSnapshot", max: 1, flexible: 0},
	60: {name: "DescribeCluster", max: 2, flexible: 0},
	61: {name: "DescribeProducers", max: 0, flexible: 0},
	62: {name: "BrokerRegistration", max: 4, flexible: 0},
	63: {name: "BrokerHeartbeat", max: 2, flexible: 0},
	64: {name: "UnregisterBroker", max: 0, flexible: 0},
	65: {name: "DescribeTransactions", max: 0, flexible: 0},
	66: {name: "ListTransactions", max: 2, flexible: 0},
	67: {name: "AllocateProducerIds", max: 0, flexible: 0},
	68: {name: "ConsumerGroupHeartbeat", max: 1, flexible: 0},
	69: {name: "ConsumerGroupDescribe", max: 1, flexible: 0},
	70: {name: "ControllerRegistration", max: 0, flexible: 0},
	71: {name: "GetTelemetrySubscriptions", max: 0, flexible: 0},
	72: {name: "PushTelemetry", max: 0, flexible: 0},
	73: {name: "AssignReplicasToDirs", max: 0, flexible: 0},
	74: {name: "ListConfigResources", max: 1, flexible: 0},
	75: {name: "DescribeTopicPartitions", max: 0, flexible: 0},
	76: {name: "ShareGroupHeartbeat", max: 1, flexible: 0},
	77: {name: "ShareGroupDescribe", max: 1, flexible: 0},
	78: {name: "ShareFetch", max: 2, flexible: 0},
	79: {name: "ShareAcknowledge", max: 2, flexible: 0},
	80: {name: "AddRaftVoter", max: 1, flexible: 0},
	81: {name: "RemoveRaftVoter", max: 0, flexible: 0},
	82: {name: "UpdateRaftVoter", max: 0, flexible: 0},
	83: {name: "InitializeShareGroupState", max: 0, flexible: 0},
	84: {name: "ReadShareGroupState", max: 0, flexible: 0},
	85: {name: "WriteShareGroupState", max: 1, flexible: 0},
	86: {name: "DeleteShareGroupState", max: 0, flexible: 0},
	87: {name: "ReadShareGroupStateSummary", max: 1, flexible: 0},
	88: {name: "StreamsGroupHeartbeat", max: 1, flexible: 0},
	89: {name: "StreamsGroupDescribe", max: 1, flexible: 0},
	90: {name: "DescribeShareGroupOffsets", max: 1, flexible: 0},
	91: {name: "AlterShareGroupOffsets", max: 0, flexible: 0},
	92: {name: "DeleteShareGroupOffsets", max: 0, flexible: 0},
	93: {name: "StreamsGroupTopologyDescriptionUpdate", max: 0, flexible: 0},
	94: {name: "UnregisterController", max: 0, flexible: 0},
}

// The keys that are treated by name.
const (
	produce       = 0
	fetch         = 1
	metadata      = 3
	offsetCommit  = 8
	saslHandshake = 17
	apiVersions   = 18
	shareFetch    = 78
	shareAck      = 79
)
