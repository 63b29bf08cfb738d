package rocketmq

import (
	"strconv"

	"github.com/hopscope/hopscope/internal/l7"
)

// operation is RequestCode's name of a code.
func operation(t *l7.Text, code int64) string {
	switch code {
	case 10:
		return "SEND_MESSAGE"
	case 11:
		return "PULL_MESSAGE"
	case 12:
		return "QUERY_MESSAGE"
	case 14:
		return "QUERY_CONSUMER_OFFSET"
	case 15:
		return "UPDATE_CONSUMER_OFFSET"
	case 17:
		return "UPDATE_AND_CREATE_TOPIC"
	case 29:
		return "SEARCH_OFFSET_BY_TIMESTAMP"
	case 30:
		return "GET_MAX_OFFSET"
	case 31:
		return "GET_MIN_OFFSET"
	case 33:
		return "VIEW_MESSAGE_BY_ID"
	case 34:
		return "HEART_BEAT"
	case 35:
		return "UNREGISTER_CLIENT"
	case 36:
		return "CONSUMER_SEND_MSG_BACK"
	case 37:
		return "END_TRANSACTION"
	case 38:
		return "GET_CONSUMER_LIST_BY_GROUP"
	case 39:
		return "CHECK_TRANSACTION_STATE"
	case 40:
		return "NOTIFY_CONSUMER_IDS_CHANGED"
	case 41:
		return "LOCK_BATCH_MQ"
	case 42:
		return "UNLOCK_BATCH_MQ"
	case 103:
		return "REGISTER_BROKER"
	case 105:
		return "GET_ROUTEINFO_BY_TOPIC"
	case 106:
		return "GET_BROKER_CLUSTER_INFO"
	case 310:
		return "SEND_MESSAGE_V2"
	case 320:
		return "SEND_BATCH_MESSAGE"
	case 324:
		return "SEND_REPLY_MESSAGE"
	case 325:
		return "SEND_REPLY_MESSAGE_V2"
	case 326:
		return "PUSH_REPLY_MESSAGE_TO_CLIENT"
	case 361:
		return "LITE_PULL_MESSAGE"
	case 200050:
		return "POP_MESSAGE"
	case 200051:
		return "ACK_MESSAGE"
	}
	return decimal(t, code)
}

func decimal(t *l7.Text, n int64) string {
	if n >= 0 {
		return t.Uint(uint64(n))
	}
	var b [20]byte
	return t.Copy(strconv.AppendInt(b[:0], n, 10))
}
