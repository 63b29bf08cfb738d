package amqp

// method is class id and method id.
type method uint32

func of(class, id uint16) method { return method(class)<<16 | method(id) }

// role is what a method is to its exchange.
type role uint8

const (
	unknown role = iota
	ask          // the client asks, one of the answers follows on the channel
	answer       // the server's answer to an ask
	alone        // nothing answers it
	quiet        // says nothing to anybody but the two ends
)

// info of a method. From https://www.rabbitmq.com/resources/specs/amqp0-9-1.extended.xml.
type info struct {
	name string
	role role
	from uint8 // who sends it
}

const (
	client uint8 = 1
	server uint8 = 2
	both   uint8 = 3
)

const (
	connectionOpen    = method(10<<16 | 40)
	connectionClose   = method(10<<16 | 50)
	connectionCloseOk = method(10<<16 | 51)
	connectionBlocked = method(10<<16 | 60)
	channelClose      = method(20<<16 | 40)
	channelCloseOk    = method(20<<16 | 41)
	exchangeDeclare   = method(40<<16 | 10)
	exchangeDelete    = method(40<<16 | 20)
	exchangeBind      = method(40<<16 | 30)
	exchangeUnbind    = method(40<<16 | 40)
	queueDeclare      = method(50<<16 | 10)
	queueDeclareOk    = method(50<<16 | 11)
	queueBind         = method(50<<16 | 20)
	queuePurge        = method(50<<16 | 30)
	queueDelete       = method(50<<16 | 40)
	queueUnbind       = method(50<<16 | 50)
	basicConsume      = method(60<<16 | 20)
	basicConsumeOk    = method(60<<16 | 21)
	basicCancel       = method(60<<16 | 30)
	basicPublish      = method(60<<16 | 40)
	basicReturn       = method(60<<16 | 50)
	basicDeliver      = method(60<<16 | 60)
	basicGet          = method(60<<16 | 70)
	basicGetOk        = method(60<<16 | 71)
	basicGetEmpty     = method(60<<16 | 72)
	basicAck          = method(60<<16 | 80)
	basicReject       = method(60<<16 | 90)
	basicNack         = method(60<<16 | 120)
	confirmSelect     = method(85<<16 | 10)
	confirmSelectOk   = method(85<<16 | 11)
)

func (m method) info() info {
	switch m {
	case of(10, 10):
		return info{"connection.start", quiet, server}
	case of(10, 11):
		return info{"connection.start-ok", quiet, client}
	case of(10, 20):
		return info{"connection.secure", quiet, server}
	case of(10, 21):
		return info{"connection.secure-ok", quiet, client}
	case of(10, 30):
		return info{"connection.tune", quiet, server}
	case of(10, 31):
		return info{"connection.tune-ok", quiet, client}
	case connectionOpen:
		return info{"connection.open", ask, client}
	case of(10, 41):
		return info{"connection.open-ok", answer, server}
	case connectionClose:
		return info{"connection.close", ask, both}
	case connectionCloseOk:
		return info{"connection.close-ok", answer, both}
	case connectionBlocked:
		return info{"connection.blocked", alone, server}
	case of(10, 61):
		return info{"connection.unblocked", alone, server}
	case of(10, 70):
		return info{"connection.update-secret", ask, client}
	case of(10, 71):
		return info{"connection.update-secret-ok", answer, server}
	case of(20, 10):
		return info{"channel.open", ask, client}
	case of(20, 11):
		return info{"channel.open-ok", answer, server}
	case of(20, 20):
		return info{"channel.flow", quiet, both}
	case of(20, 21):
		return info{"channel.flow-ok", quiet, both}
	case channelClose:
		return info{"channel.close", ask, both}
	case channelCloseOk:
		return info{"channel.close-ok", answer, both}
	case exchangeDeclare:
		return info{"exchange.declare", ask, client}
	case of(40, 11):
		return info{"exchange.declare-ok", answer, server}
	case exchangeDelete:
		return info{"exchange.delete", ask, client}
	case of(40, 21):
		return info{"exchange.delete-ok", answer, server}
	case exchangeBind:
		return info{"exchange.bind", ask, client}
	case of(40, 31):
		return info{"exchange.bind-ok", answer, server}
	case exchangeUnbind:
		return info{"exchange.unbind", ask, client}
	case of(40, 51):
		return info{"exchange.unbind-ok", answer, server}
	case queueDeclare:
		return info{"queue.declare", ask, client}
	case queueDeclareOk:
		return info{"queue.declare-ok", answer, server}
	case queueBind:
		return info{"queue.bind", ask, client}
	case of(50, 21):
		return info{"queue.bind-ok", answer, server}
	case queuePurge:
		return info{"queue.purge", ask, client}
	case of(50, 31):
		return info{"queue.purge-ok", answer, server}
	case queueDelete:
		return info{"queue.delete", ask, client}
	case of(50, 41):
		return info{"queue.delete-ok", answer, server}
	case queueUnbind:
		return info{"queue.unbind", ask, client}
	case of(50, 51):
		return info{"queue.unbind-ok", answer, server}
	case of(60, 10):
		return info{"basic.qos", ask, client}
	case of(60, 11):
		return info{"basic.qos-ok", answer, server}
	case basicConsume:
		return info{"basic.consume", ask, client}
	case basicConsumeOk:
		return info{"basic.consume-ok", answer, server}
	case basicCancel:
		return info{"basic.cancel", ask, both}
	case of(60, 31):
		return info{"basic.cancel-ok", answer, both}
	case basicPublish:
		return info{"basic.publish", alone, client}
	case basicReturn:
		return info{"basic.return", alone, server}
	case basicDeliver:
		return info{"basic.deliver", alone, server}
	case basicGet:
		return info{"basic.get", ask, client}
	case basicGetOk:
		return info{"basic.get-ok", answer, server}
	case basicGetEmpty:
		return info{"basic.get-empty", answer, server}
	case basicAck:
		return info{"basic.ack", alone, both}
	case basicReject:
		return info{"basic.reject", alone, client}
	case of(60, 100):
		return info{"basic.recover-async", alone, client}
	case of(60, 110):
		return info{"basic.recover", ask, client}
	case of(60, 111):
		return info{"basic.recover-ok", answer, server}
	case basicNack:
		return info{"basic.nack", alone, both}
	case confirmSelect:
		return info{"confirm.select", ask, client}
	case confirmSelectOk:
		return info{"confirm.select-ok", answer, server}
	case of(90, 10):
		return info{"tx.select", ask, client}
	case of(90, 11):
		return info{"tx.select-ok", answer, server}
	case of(90, 20):
		return info{"tx.commit", ask, client}
	case of(90, 21):
		return info{"tx.commit-ok", answer, server}
	case of(90, 30):
		return info{"tx.rollback", ask, client}
	case of(90, 31):
		return info{"tx.rollback-ok", answer, server}
	}
	return info{}
}

// answers reports whether m is what the ask q waits for.
func (m method) answers(q method) bool {
	return m == q+1 || (q == basicGet && m == basicGetEmpty) || (q == exchangeUnbind && m == of(40, 51))
}
