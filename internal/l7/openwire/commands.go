package openwire

import (
	"strings"

	"github.com/hopscope/hopscope/internal/l7"
)

// Types of commands and of what they hold.
const (
	wireFormatInfo     = 1
	brokerInfo         = 2
	connectionInfo     = 3
	sessionInfo        = 4
	consumerInfo       = 5
	producerInfo       = 6
	transactionInfo    = 7
	destinationInfo    = 8
	removeSubscription = 9
	keepAlive          = 10
	shutdown           = 11
	removeInfo         = 12
	connectionError    = 16
	messagePull        = 20
	messageDispatch    = 21
	messageAck         = 22
	message            = 23
	blobMessage        = 29
	response           = 30
	exceptionResponse  = 31
	dataResponse       = 32
	dataArrayResponse  = 33
	integerResponse    = 34
	queue              = 100
	topic              = 101
	tempQueue          = 102
	tempTopic          = 103
	messageID          = 110
	localTransaction   = 111
	xaTransaction      = 112
	connectionID       = 120
	sessionID          = 121
	consumerID         = 122
	producerID         = 123
	brokerID           = 124
)

var commands = [256]string{wireFormatInfo: "WireFormatInfo", brokerInfo: "BrokerInfo", connectionInfo: "ConnectionInfo",
	sessionInfo: "SessionInfo", consumerInfo: "ConsumerInfo", producerInfo: "ProducerInfo", transactionInfo: "TransactionInfo",
	destinationInfo: "DestinationInfo", removeSubscription: "RemoveSubscriptionInfo", keepAlive: "KeepAliveInfo",
	shutdown: "ShutdownInfo", removeInfo: "RemoveInfo", 14: "ControlCommand", 15: "FlushCommand",
	connectionError: "ConnectionError", 17: "ConsumerControl", 18: "ConnectionControl", 19: "ProducerAck",
	messagePull: "MessagePull", messageDispatch: "MessageDispatch", messageAck: "MessageAck", message: "ActiveMQMessage",
	24: "ActiveMQBytesMessage", 25: "ActiveMQMapMessage", 26: "ActiveMQObjectMessage", 27: "ActiveMQStreamMessage",
	28: "ActiveMQTextMessage", blobMessage: "ActiveMQBlobMessage", response: "Response",
	exceptionResponse: "ExceptionResponse", dataResponse: "DataResponse", dataArrayResponse: "DataArrayResponse",
	integerResponse: "IntegerResponse", 40: "DiscoveryEvent", 50: "JournalAck", 52: "JournalQueueAck", 53: "JournalTrace",
	54: "JournalTransaction", 55: "DurableSubscriptionInfo", 65: "PartialCommand", 66: "PartialLastCommand", 70: "Replay"}

// fields reads what of a command is told, in the order that the wire has it.
func (p *parser) fields(kind byte, r *reader, m *l7.Message) {
	switch kind {
	case brokerInfo:
		r.object(true)
		if v := r.string(); len(v) > 0 && !r.c.Short() {
			p.broker = string(v[:min(len(v), maxName)])
			m.Domain = p.broker
		}
	case connectionInfo:
		r.object(true)
		if v := r.string(); len(v) > 0 && !r.c.Short() {
			p.client = string(v[:min(len(v), maxName)])
			m.Add("messaging.client.id", p.client)
		}
	case sessionInfo:
		r.object(true)
	case consumerInfo:
		r.object(true)
		r.bool() // browses
		m.Target = r.object(true)
	case producerInfo:
		r.object(true)
		m.Target = r.object(true)
	case destinationInfo:
		r.object(true)
		m.Target = r.object(true)
	case transactionInfo:
		r.object(true)
		r.object(true)
		if k := r.c.U8(); !r.c.Short() && int(k) < len(transactions) {
			m.Name = transactions[k]
		}
	case messagePull:
		r.object(true)
		m.Target = r.object(true)
	case messageDispatch:
		p.dispatch(r, m)
	case messageAck:
		m.Target = r.object(true)
		r.object(true)
		r.object(true)
		r.c.U8()
		r.object(false)
		if last := r.object(false); last != "" {
			m.Add("messaging.message.id", last)
		}
		if n := r.int32(); n > 1 && !r.c.Short() {
			m.AddInt("messaging.batch.message_count", int64(n))
		}
	case connectionError:
		p.exception(r, m)
	default:
		if kind >= message && kind <= blobMessage {
			m.Flow = l7.FlowPublish
			m.Add("messaging.operation.type", "send")
			p.message(r, m)
		}
	}
	// The names of temporary queues, and of news about them, begin and end with ids.
	if !strings.Contains(m.Target, "ID:") {
		m.Route = m.Target
	}
}

var transactions = [...]string{"BEGIN", "PREPARE", "COMMIT", "COMMIT", "ROLLBACK", "RECOVER", "FORGET", "END"}

// maxName bounds what is kept of a connection's names.
const maxName = 256

// dispatch is a message on its way to a consumer.
func (p *parser) dispatch(r *reader, m *l7.Message) {
	m.Flow = l7.FlowDeliver
	m.Add("messaging.operation.type", "process")
	r.object(true)
	m.Target = r.object(true)
	if !r.bool() {
		return
	}
	if kind := r.c.U8(); kind < message || kind > blobMessage {
		return
	}
	if r.format.tight && r.bool() {
		// It comes as it was kept, with bits of its own.
		r.int32()
		r.c.U8()
		r.bits, r.bit = bits(&r.c), 0
	}
	r.int32() // the number it had as a command
	r.bool()
	p.message(r, m)
}

// message reads what all messages have.
func (p *parser) message(r *reader, m *l7.Message) {
	r.object(true) // its producer
	if to := r.object(true); to != "" {
		m.Target = to
	}
	r.object(true) // the transaction
	r.object(true) // where it was meant to go first
	if id := r.object(false); id != "" {
		m.Add("messaging.message.id", id)
	}
	r.object(true)
	r.string() // its group
	r.int32()
	if v := r.string(); len(v) > 0 && !r.c.Short() {
		m.Add("messaging.message.conversation_id", r.text.Copy(v))
	}
	r.bool()
	r.int64()
	r.c.U8()
	if to := r.object(false); to != "" {
		m.Add("hopscope.messaging.reply_to", to)
	}
	r.int64()
	r.string()
	content := r.content()
	if r.c.Short() {
		return
	}
	m.AddInt("messaging.message.body.size", int64(len(content)))
	held := l7.NewCursor(r.content())
	properties(&held, func(key []byte, v value) {
		if len(v.text) > 0 {
			p.opts.Header(m, key, v.text)
		}
	})
	r.object(false)
	r.object(true)
	compressed := r.bool()
	if n := r.int32(); n > 0 && !r.c.Short() {
		m.AddBool("hopscope.messaging.redelivered", true)
	}
	if compressed && !r.c.Short() {
		m.Add("hopscope.messaging.compression", "deflate")
	}
}
