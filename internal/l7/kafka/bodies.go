package kafka

// requests and responses describe, by api key, the bodies as far as a span
// needs them, from https://github.com/apache/kafka/tree/trunk/clients/src/main/resources/common/message.
// Produce, Fetch (produce.go) and the answer to Metadata (topics.go) are read by
// hand. A body that is not here is
// known by its header alone.

func request(key int16) []step {
	if key >= 0 && int(key) < len(requests) {
		return requests[key]
	}
	return nil
}

func response(key int16) []step {
	if key >= 0 && int(key) < len(responses) {
		return responses[key]
	}
	return nil
}

var requests = [...][]step{
	2:  {{skip4, 0, 0}, {skip1, 2, 0}, {array, 0, 0}, {topic, 0, 0}, {array, 0, 0}, {partition, 0, 0}, {stop, 0, 0}, {end, 0, 0}, {end, 0, 0}},
	3:  {{array, 0, 0}, {uuid, 10, 0}, {topic, 0, 0}, {end, 0, 0}},
	8:  {{group, 0, 0}, {skip4, 1, 0}, {str, 1, 0}, {skip8, 2, 4}, {str, 7, 0}, {array, 0, 0}, {topic, 0, 9}, {topicID, 10, 0}, {array, 0, 0}, {partition, 0, 0}, {offset, 0, 0}, {stop, 0, 0}, {end, 0, 0}, {end, 0, 0}},
	9:  {{array, 8, 0}, {group, 8, 0}, {stop, 8, 0}, {end, 8, 0}, {group, 0, 7}, {array, 0, 7}, {topic, 0, 7}, {ints, 0, 7}, {stop, 0, 7}, {end, 0, 7}},
	11: {{group, 0, 0}},
	12: {{group, 0, 0}},
	13: {{group, 0, 0}},
	14: {{group, 0, 0}},
	15: {{groups, 0, 0}},
	19: {{array, 0, 0}, {topic, 0, 0}, {stop, 0, 0}, {end, 0, 0}},
	20: {{array, 6, 0}, {topic, 6, 0}, {topicID, 6, 0}, {stop, 6, 0}, {end, 6, 0}, {topics, 0, 5}},
	21: {{array, 0, 0}, {topic, 0, 0}, {array, 0, 0}, {partition, 0, 0}, {stop, 0, 0}, {end, 0, 0}, {end, 0, 0}},
	23: {{skip4, 3, 0}, {array, 0, 0}, {topic, 0, 0}, {array, 0, 0}, {partition, 0, 0}, {stop, 0, 0}, {end, 0, 0}, {end, 0, 0}},
	24: {{stop, 4, 0}, {str, 0, 0}, {skip8, 0, 0}, {skip2, 0, 0}, {array, 0, 0}, {topic, 0, 0}, {ints, 0, 0}, {stop, 0, 0}, {end, 0, 0}},
	25: {{str, 0, 0}, {skip8, 0, 0}, {skip2, 0, 0}, {group, 0, 0}},
	28: {{str, 0, 0}, {group, 0, 0}, {skip8, 0, 0}, {skip2, 0, 0}, {skip4, 3, 0}, {str, 3, 0}, {str, 3, 0}, {array, 0, 0}, {topic, 0, 5}, {topicID, 6, 0}, {array, 0, 0}, {partition, 0, 0}, {stop, 0, 0}, {end, 0, 0}, {end, 0, 0}},
	37: {{array, 0, 0}, {topic, 0, 0}, {stop, 0, 0}, {end, 0, 0}},
	42: {{groups, 0, 0}},
	47: {{group, 0, 0}, {array, 0, 0}, {topic, 0, 0}, {stop, 0, 0}, {end, 0, 0}},
	68: {{group, 0, 0}},
	69: {{groups, 0, 0}},
	75: {{array, 0, 0}, {topic, 0, 0}, {stop, 0, 0}, {end, 0, 0}},
	76: {{group, 0, 0}},
	77: {{groups, 0, 0}},
	78: {{group, 0, 0}},
	79: {{group, 0, 0}},
	88: {{group, 0, 0}},
}

var responses = [...][]step{
	2:  {{skip4, 2, 0}, {array, 0, 0}, {str, 0, 0}, {array, 0, 0}, {skip4, 0, 0}, {code, 0, 0}, {stop, 0, 0}, {end, 0, 0}, {end, 0, 0}},
	8:  {{skip4, 3, 0}, {array, 0, 0}, {str, 0, 9}, {uuid, 10, 0}, {array, 0, 0}, {skip4, 0, 0}, {code, 0, 0}, {end, 0, 0}, {end, 0, 0}},
	9:  {{skip4, 3, 0}, {stop, 8, 0}, {array, 0, 0}, {str, 0, 0}, {array, 0, 0}, {skip4, 0, 0}, {skip8, 0, 0}, {skip4, 5, 0}, {str, 0, 0}, {code, 0, 0}, {end, 0, 0}, {end, 0, 0}, {code, 2, 0}},
	10: {{skip4, 1, 0}, {code, 0, 3}, {stop, 0, 3}, {array, 4, 0}, {str, 4, 0}, {skip4, 4, 0}, {str, 4, 0}, {skip4, 4, 0}, {code, 4, 0}, {str, 4, 0}, {end, 4, 0}},
	11: {{skip4, 2, 0}, {code, 0, 0}},
	12: {{skip4, 1, 0}, {code, 0, 0}},
	13: {{skip4, 1, 0}, {code, 0, 0}},
	14: {{skip4, 1, 0}, {code, 0, 0}},
	15: {{skip4, 1, 0}, {array, 0, 0}, {code, 0, 0}, {stop, 0, 0}, {end, 0, 0}},
	16: {{skip4, 1, 0}, {code, 0, 0}},
	17: {{code, 0, 0}},
	18: {{code, 0, 0}},
	19: {{skip4, 2, 0}, {array, 0, 0}, {str, 0, 0}, {uuid, 7, 0}, {code, 0, 0}, {stop, 0, 0}, {end, 0, 0}},
	20: {{skip4, 1, 0}, {array, 0, 0}, {str, 0, 0}, {uuid, 6, 0}, {code, 0, 0}, {str, 5, 0}, {end, 0, 0}},
	21: {{skip4, 0, 0}, {array, 0, 0}, {str, 0, 0}, {array, 0, 0}, {skip4, 0, 0}, {skip8, 0, 0}, {code, 0, 0}, {end, 0, 0}, {end, 0, 0}},
	22: {{skip4, 0, 0}, {code, 0, 0}},
	23: {{skip4, 2, 0}, {array, 0, 0}, {str, 0, 0}, {array, 0, 0}, {code, 0, 0}, {skip4, 0, 0}, {skip4, 1, 0}, {skip8, 0, 0}, {end, 0, 0}, {end, 0, 0}},
	24: {{skip4, 0, 0}, {code, 4, 0}, {stop, 4, 0}, {array, 0, 0}, {str, 0, 0}, {array, 0, 0}, {skip4, 0, 0}, {code, 0, 0}, {end, 0, 0}, {end, 0, 0}},
	25: {{skip4, 0, 0}, {code, 0, 0}},
	26: {{skip4, 0, 0}, {code, 0, 0}},
	28: {{skip4, 0, 0}, {array, 0, 0}, {str, 0, 5}, {uuid, 6, 0}, {array, 0, 0}, {skip4, 0, 0}, {code, 0, 0}, {end, 0, 0}, {end, 0, 0}},
	29: {{skip4, 0, 0}, {code, 0, 0}},
	30: {{skip4, 0, 0}, {array, 0, 0}, {code, 0, 0}, {str, 0, 0}, {end, 0, 0}},
	31: {{skip4, 0, 0}, {array, 0, 0}, {code, 0, 0}, {stop, 0, 0}, {end, 0, 0}},
	32: {{skip4, 0, 0}, {array, 0, 0}, {code, 0, 0}, {stop, 0, 0}, {end, 0, 0}},
	33: {{skip4, 0, 0}, {array, 0, 0}, {code, 0, 0}, {str, 0, 0}, {skip1, 0, 0}, {str, 0, 0}, {end, 0, 0}},
	36: {{code, 0, 0}},
	37: {{skip4, 0, 0}, {array, 0, 0}, {str, 0, 0}, {code, 0, 0}, {str, 0, 0}, {end, 0, 0}},
	42: {{skip4, 0, 0}, {array, 0, 0}, {str, 0, 0}, {code, 0, 0}, {stop, 0, 0}, {end, 0, 0}},
	43: {{skip4, 0, 0}, {code, 1, 0}},
	44: {{skip4, 0, 0}, {array, 0, 0}, {code, 0, 0}, {str, 0, 0}, {skip1, 0, 0}, {str, 0, 0}, {end, 0, 0}},
	45: {{skip4, 0, 0}, {skip1, 1, 0}, {code, 0, 0}},
	46: {{skip4, 0, 0}, {code, 0, 0}},
	47: {{code, 0, 0}},
	48: {{skip4, 0, 0}, {code, 0, 0}},
	50: {{skip4, 0, 0}, {code, 0, 0}},
	55: {{code, 0, 0}},
	57: {{skip4, 0, 0}, {code, 0, 0}},
	60: {{skip4, 0, 0}, {code, 0, 0}},
	66: {{skip4, 0, 0}, {code, 0, 0}},
	68: {{skip4, 0, 0}, {code, 0, 0}},
	69: {{skip4, 0, 0}, {array, 0, 0}, {code, 0, 0}, {stop, 0, 0}, {end, 0, 0}},
	71: {{skip4, 0, 0}, {code, 0, 0}},
	72: {{skip4, 0, 0}, {code, 0, 0}},
	74: {{skip4, 0, 0}, {code, 0, 0}},
	76: {{skip4, 0, 0}, {code, 0, 0}},
	78: {{skip4, 0, 0}, {code, 0, 0}},
	79: {{skip4, 0, 0}, {code, 0, 0}},
	88: {{skip4, 0, 0}, {code, 0, 0}},
}
