package main

// wait is how long the server took: from the end of the request to the beginning
// of the answer, in microseconds.
const wait = "hopscope.response.start_time - request.end_time"

const (
	requestBytes  = "hopscope.request.bytes"
	responseBytes = "hopscope.response.bytes"
	requestID     = "hopscope.session.request_id"
)

// measures are all of DeepFlow's numeric fields, of one protocol or ("") of all.
var measures = map[field]measure{
	{"", "captured_request_byte"}:  {key: requestBytes, zero: true},
	{"", "captured_response_byte"}: {key: responseBytes, zero: true},
	{"", "rrt"}:                    {key: wait, zero: true},
	{"", "rtt"}:                    {key: wait, zero: true},
	{"", "req_len"}:                {key: requestBytes, zero: true},
	{"", "resp_len"}:               {key: responseBytes, zero: true},
	{"", "req_msg_size"}:           {key: requestBytes, zero: true},
	{"", "resp_msg_size"}:          {key: responseBytes, zero: true},
	{"", "res_msg_size"}:           {key: responseBytes, zero: true},
	{"", "request_id"}:             {key: requestID},
	{"", "correlation_id"}:         {key: requestID},
	{"", "prio"}:                   {why: "its own ranking of ids"},

	{"amqp", "captured_request_byte"}:    {key: requestBytes, zero: true, why: "a frame is counted there, and what the broker asks before the connection is open; a message here, with its content"},
	{"amqp", "captured_response_byte"}:   {key: responseBytes, zero: true, why: "a frame is counted there, and what the broker asks before the connection is open; a message here, with its content"},
	{"amqp", "req_len"}:                  {key: requestBytes, zero: true, why: "a frame is counted there, and what the broker asks before the connection is open; a message here, with its content"},
	{"amqp", "resp_len"}:                 {key: responseBytes, zero: true, why: "a frame is counted there, and what the broker asks before the connection is open; a message here, with its content"},
	{"amqp", "rtt"}:                      {key: wait, zero: true, why: "what the broker asks before the connection is open is passed over; its `channel.close` is the answer to what it refuses"},
	{"http", "captured_request_byte"}:    {key: requestBytes, zero: true, why: "of HTTP/2 the packet is counted there, the stream here"},
	{"http", "captured_response_byte"}:   {key: responseBytes, zero: true, why: "of HTTP/2 the packet is counted there, the stream here"},
	{"memcached", "rtt"}:                 {key: wait, zero: true, why: "of requests that follow each other unanswered it takes the last: each has its own answer here"},
	{"mysql", "captured_request_byte"}:   {key: requestBytes, zero: true, why: "a connection that agreed upon compression is given up"},
	{"mysql", "captured_response_byte"}:  {key: responseBytes, zero: true, why: "a packet, or the first KiB, is counted there, the whole answer here; a connection that agreed upon compression is given up"},
	{"nats", "captured_request_byte"}:    {key: requestBytes, zero: true, why: "INFO, CONNECT and PING are exchanges of their own there; what the server says of itself is passed over here"},
	{"nats", "captured_response_byte"}:   {key: responseBytes, zero: true, why: "INFO, CONNECT and PING are exchanges of their own there; what the server says of itself is passed over here"},
	{"nats", "req_len"}:                  {key: requestBytes, zero: true, why: "INFO, CONNECT and PING are exchanges of their own there; what the server says of itself is passed over here"},
	{"nats", "resp_len"}:                 {key: responseBytes, zero: true, why: "INFO, CONNECT and PING are exchanges of their own there; what the server says of itself is passed over here"},
	{"nats", "rtt"}:                      {key: wait, zero: true, why: "INFO, CONNECT and PING are exchanges of their own there; what the server says of itself is passed over here"},
	{"openwire", "req_msg_size"}:         {key: requestBytes, less: 4, why: "WireFormatInfo is passed over: it is no command"},
	{"openwire", "res_msg_size"}:         {key: responseBytes, less: 4, why: "WireFormatInfo is passed over; of what comes from the server twice the first is the answer"},
	{"pulsar", "captured_request_byte"}:  {key: requestBytes, zero: true, why: "flow control is passed over"},
	{"pulsar", "captured_response_byte"}: {key: responseBytes, zero: true, why: "ten messages in one packet have the packet's size there, their own here, as that of a delivery"},
	{"zmtp", "req_msg_size"}:             {key: requestBytes, less: 2, why: "frames of one message are one exchange"},
	{"zmtp", "res_msg_size"}:             {key: responseBytes, less: 2, why: "frames of one message are one exchange"},
	{"amqp", "channel_id"}:               {why: "the number of a channel is not told"},
	{"amqp", "payload_size"}:             {why: "frames are not told: a message is one exchange, whatever frames it has"},
	{"amqp", "body_size"}:                {key: "messaging.message.body.size"},
	{"amqp", "raw_method_id"}:            {why: "the method has its name: `messaging.operation.name`"},

	{"brpc", "req_log_id"}: {key: "hopscope.request_id.request", zero: true},
	{"brpc", "resp_code"}:  {key: "rpc.response.status_code"},

	{"dns", "response_code"}: {key: "dns.response_code"},

	{"dubbo", "event"}:        {why: "heartbeats are no exchanges"},
	{"dubbo", "serial_id"}:    {why: "the serialisation has its name"},
	{"dubbo", "data_type"}:    {why: "`hopscope.session.type` tells requests from what is one-way"},
	{"dubbo", "req_msg_size"}: {key: requestBytes, less: 16},

	{"http", "headers_offset"}:      {why: "where in a packet the headers begin"},
	{"http", "stream_id"}:           {key: requestID},
	{"http", "biz_type"}:            {why: "what its plugins say"},
	{"http", "req_content_length"}:  {key: "http.request.body.size", why: "of gRPC the data frames are counted there: here `hopscope.request.bytes` has the stream, and messages are counted"},
	{"http", "resp_content_length"}: {key: "http.response.body.size", why: "of gRPC the data frames are counted there: here `hopscope.response.bytes` has the stream, and messages are counted"},
	{"http", "status_code"}:         {key: "http.response.status_code", why: "of gRPC the status is told that it has itself, not the 200 of HTTP"},
	{"http", "grpc_status_code"}:    {key: "rpc.grpc.status_code"},

	{"kafka", "api_version"}:   {why: "the version of the request is not told"},
	{"kafka", "partition"}:     {key: "messaging.destination.partition.id", why: "0 there where a request has none"},
	{"kafka", "offset"}:        {key: "messaging.kafka.offset", zero: true},
	{"kafka", "req_msg_size"}:  {key: requestBytes, less: 4},
	{"kafka", "resp_msg_size"}: {key: responseBytes, less: 4},
	{"kafka", "status_code"}:   {key: "hopscope.response.code", why: "-2 there for requests that it does not read: the code is told here"},

	{"memcached", "req_size"}: {key: requestBytes, zero: true},
	{"memcached", "res_size"}: {key: responseBytes, zero: true},

	{"mongo", "response_id"}:   {why: "the answer's own id names nothing"},
	{"mongo", "op_code"}:       {why: "the command in it is told"},
	{"mongo", "response_code"}: {key: "db.response.status_code", answer: true, zero: true},

	{"mqtt", "version"}:      {why: "the protocol's level, whose version is told: 3.1.1 for 4"},
	{"mqtt", "code"}:         {key: "hopscope.response.code"},
	{"mqtt", "qos"}:          {key: "hopscope.messaging.qos", why: "-1 there for none; a subscription has one for each topic, and the count of topics is told"},
	{"mqtt", "req_msg_size"}: {key: requestBytes, less: 2, why: "PUBREL belongs to its publish"},
	{"mqtt", "res_msg_size"}: {key: responseBytes, less: 2, why: "what the server sends of itself is a delivery, with its size as that of a request; PUBREC and PUBCOMP are one answer"},

	{"mysql", "request_type"}:      {why: "the command has its name: `db.operation.name`"},
	{"mysql", "response_code"}:     {key: "db.response.status_code", zero: true, why: "254 is the mark of a result's end, no code"},
	{"mysql", "statement_id"}:      {key: requestID, zero: true, why: "of answers that are no answer to PREPARE it takes other bytes for one"},
	{"mysql", "version"}:           {why: "the protocol has one version"},
	{"mysql", "sql_affected_rows"}: {key: "hopscope.db.affected_rows"},

	{"nats", "port"}:         {why: "of the server's INFO name and version are told"},
	{"nats", "max_payload"}:  {why: "of the server's INFO name and version are told"},
	{"nats", "payload_size"}: {key: "messaging.message.body.size"},
	{"nats", "header_size"}:  {why: "the size of the body is told"},

	{"openwire", "version"}:         {why: "the version is told of connections whose beginning was seen, as text"},
	{"openwire", "command_id"}:      {key: requestID, zero: true, why: "commands that want no answer have no id here"},
	{"openwire", "resp_command_id"}: {key: requestID, zero: true},
	{"openwire", "session_id"}:      {why: "ids of sessions are not told"},

	{"pulsar", "type"}:             {why: "the command has its name: `messaging.operation.name`"},
	{"pulsar", "protocol_version"}: {key: "network.protocol.version", why: "told of the connection's beginning"},
	{"pulsar", "version"}:          {key: "network.protocol.version", why: "told of the connection's beginning"},
	{"pulsar", "req_len"}:          {key: requestBytes, less: 4, why: "of a delivery without its content"},
	{"pulsar", "resp_len"}:         {key: responseBytes, less: 4},

	{"pulsar", "max_message_size"}: {why: "what the broker takes at most is not told"},
	{"pulsar", "partitions"}:       {why: "how many parts a topic has is not told"},
	{"pulsar", "response"}:         {why: "the kind of a lookup's answer is not told"},
	{"pulsar", "consumer_id"}:      {why: "numbers of consumers mean something to their connection only"},
	{"pulsar", "initial_position"}: {why: "how a subscription is made is not told"},
	{"pulsar", "sub_type"}:         {why: "how a subscription is made is not told"},
	{"pulsar", "priority_level"}:   {why: "how a subscription is made is not told"},
	{"pulsar", "message_permits"}:  {why: "flow control is passed over"},
	{"pulsar", "entry_id"}:         {why: "part of `messaging.message.id`"},
	{"pulsar", "ledger_id"}:        {why: "part of `messaging.message.id`"},
	{"pulsar", "partition"}:        {why: "part of `messaging.message.id`"},
	{"pulsar", "sequence_id"}:      {why: "the producer's count of its messages is not told"},
	{"pulsar", "publish_time"}:     {why: "when the producer says it sent is not told"},
	{"pulsar", "ack_type"}:         {why: "whether one or all before it is not told"},

	{"rocketmq", "req_code"}:      {why: "the code has its name: `messaging.operation.name`"},
	{"rocketmq", "opaque"}:        {key: requestID},
	{"rocketmq", "resp_code"}:     {key: "hopscope.response.code", answer: true},
	{"rocketmq", "req_msg_size"}:  {key: requestBytes, less: 4},
	{"rocketmq", "resp_msg_size"}: {key: responseBytes, less: 4},

	{"some_ip", "request_resource"}: {why: "service and method are numbers in hexadecimal: `rpc.method`"},
	{"some_ip", "client_id"}:        {why: "which client is told by its address"},
	{"some_ip", "session_id"}:       {key: requestID},
	{"some_ip", "endpoint"}:         {why: "service and method are numbers in hexadecimal: `rpc.method`"},
	{"some_ip", "request_length"}:   {key: requestBytes, less: 8},
	{"some_ip", "response_length"}:  {key: responseBytes, less: 8},
	{"some_ip", "response_code"}:    {key: "rpc.response.status_code"},

	{"tars", "pkt_type"}:     {why: "`hopscope.session.type` tells requests from what is one-way"},
	{"tars", "imsg_type"}:    {why: "what kind of trace the message takes part in"},
	{"tars", "tars_version"}: {key: "network.protocol.version"},

	{"zmtp", "major_version"}: {why: "told as one text with the minor one: `network.protocol.version`"},
	{"zmtp", "minor_version"}: {why: "told as one text with the major one: `network.protocol.version`"},
}
