// Package protocols is the list of the protocols that Hopscope reads. A new one
// is a folder beside this one, and one line here.
package protocols

import (
	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/amqp"
	"github.com/hopscope/hopscope/internal/l7/brpc"
	"github.com/hopscope/hopscope/internal/l7/cassandra"
	"github.com/hopscope/hopscope/internal/l7/dns"
	"github.com/hopscope/hopscope/internal/l7/dubbo"
	"github.com/hopscope/hopscope/internal/l7/fastcgi"
	"github.com/hopscope/hopscope/internal/l7/http1"
	"github.com/hopscope/hopscope/internal/l7/http2"
	"github.com/hopscope/hopscope/internal/l7/kafka"
	"github.com/hopscope/hopscope/internal/l7/ldap"
	"github.com/hopscope/hopscope/internal/l7/memcached"
	"github.com/hopscope/hopscope/internal/l7/mongodb"
	"github.com/hopscope/hopscope/internal/l7/mqtt"
	"github.com/hopscope/hopscope/internal/l7/mysql"
	"github.com/hopscope/hopscope/internal/l7/nats"
	"github.com/hopscope/hopscope/internal/l7/openwire"
	"github.com/hopscope/hopscope/internal/l7/postgresql"
	"github.com/hopscope/hopscope/internal/l7/pulsar"
	"github.com/hopscope/hopscope/internal/l7/redis"
	"github.com/hopscope/hopscope/internal/l7/rocketmq"
	"github.com/hopscope/hopscope/internal/l7/smtp"
	"github.com/hopscope/hopscope/internal/l7/sofarpc"
	"github.com/hopscope/hopscope/internal/l7/someip"
	"github.com/hopscope/hopscope/internal/l7/tars"
	"github.com/hopscope/hopscope/internal/l7/tds"
	"github.com/hopscope/hopscope/internal/l7/thrift"
	"github.com/hopscope/hopscope/internal/l7/tls"
	"github.com/hopscope/hopscope/internal/l7/tns"
	"github.com/hopscope/hopscope/internal/l7/zmtp"
	"github.com/hopscope/hopscope/internal/l7/zookeeper"
)

// All is every protocol, in the order of detection: those with the clearest
// signature first.
func All() []*l7.Protocol {
	return []*l7.Protocol{
		tls.Protocol,
		http1.Protocol,
		redis.Protocol,
		amqp.Protocol,
		http2.Protocol,
		dns.Protocol,
		openwire.Protocol,
		zmtp.Protocol,
		mqtt.Protocol,
		nats.Protocol,
		smtp.Protocol,
		mysql.Protocol,
		thrift.Protocol,
		dubbo.Protocol,
		fastcgi.Protocol,
		sofarpc.Protocol,
		brpc.Protocol,
		tars.Protocol,
		rocketmq.Protocol,
		someip.Protocol,
		pulsar.Protocol,
		kafka.Protocol,
		mongodb.Protocol,
		postgresql.Protocol,
		memcached.Protocol,
		cassandra.Protocol,
		tds.Protocol,
		tns.Protocol,
		ldap.Protocol,
		zookeeper.Protocol,
	}
}
