package main

// reasons of all differences, by protocol and capture.
var reasons = map[place]reason{
	{"amqp", "packetbeat/pcaps/amqp_channel_error.pcap.gz"}: {
		shortfall: shortfall{missing: 1},
		why:       "the broker's `channel.close` is here the answer to the call that it refuses, not a call of its own",
		filter:    `frame.number == 14 && amqp.method.method == 40 && tcp.srcport == 5672`, frames: 1,
	},
	{"cassandra", "ndpi/pcap/cassandra.pcap.gz"}: {
		shortfall: shortfall{extra: 1},
		why:       "a STARTUP, the last packet of its connection, which the truth waits for the end of",
		filter:    `frame.number == 16 && tcp.payload[4:1] == 01`, frames: 1,
	},
	{"dns", "arkime/arkime_synthetic.pcap.gz"}: {
		shortfall: shortfall{missing: 2, extra: 1, differ: [len(aspects)]int{0, 0, 1, 0}},
		why:       "two packets hold zeros only; a question of LLMNR is not in the truth; of EDNS' code (16) the truth has the lower bits",
		filter:    `frame.number in {618, 619} || dns.resp.ext_rcode == 1 || (llmnr && dns.flags.response == 0)`, frames: 4,
	},
	{"dns", "ndpi/pcap/dns-tunnel-iodine.pcap.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{0, 41, 0, 0}},
		why:       "bytes of names that are not ASCII are written as `\\228`",
		filter:    `dns.flags.response == 0 && dns.qry.name matches "[^ -~]"`, frames: 41,
	},
	{"dns", "ndpi/pcap/dns_invert_query.pcapng.gz"}: {
		shortfall: shortfall{missing: 1},
		why:       "an inverse query has no question, and is no longer in use (RFC 3425)",
		filter:    `frame.number == 1 && dns.flags.opcode == 1`, frames: 1,
	},
	{"dns", "ndpi/pcap/fuzz-2006-06-26-2594.pcap.gz"}: {
		shortfall: shortfall{missing: 72, extra: 3, differ: [len(aspects)]int{0, 14, 0, 0}},
		why:       "72 questions that the fuzzer damaged: malformed, of a class or type that there is not, with the flags of an answer. Of questions of NetBIOS on port 137, which the truth leaves out, three have a type or a name that is none of NetBIOS'",
		filter:    `dns.flags.response == 0 && udp.dstport == 53 && (_ws.malformed || dns.qry.class != 1 || dns.qry.type > 255 || dns.flags & 0x8f) && frame.number in {10, 11, 25, 41, 110, 111, 116, 136, 146, 183, 208, 216, 218, 233, 236, 243, 245, 254, 269, 279, 282, 283, 293, 295, 296, 304, 311, 337, 343, 351, 360, 364, 365, 371, 372, 373, 375, 382, 384, 385, 391, 398, 403, 408, 414, 418, 433, 434, 437, 439, 449, 450, 496, 506, 511, 512, 513, 517, 535, 541, 572, 579, 588, 589, 600, 605, 612, 637, 654, 656, 679, 680}`, frames: 72,
	},
	{"dns", "wireshark/captures/dns-mdns.pcap.gz"}: {
		shortfall: shortfall{extra: 126},
		why:       "questions of multicast DNS, which the truth leaves out",
		filter:    `mdns && dns.flags.response == 0`, frames: 126,
	},
	{"dns", "wireshark/captures/wireguard-ping-tcp-dsb.pcapng.gz"}: {
		shortfall: shortfall{missing: 2},
		why:       "inside WireGuard, whose keys the capture holds",
		filter:    `wg && dns.flags.response == 0`, frames: 2,
	},
	{"dns", "zeek/Traces/dns/dns_extended_rcode.pcap.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{0, 0, 1, 0}},
		why:       "of EDNS' code (16) the truth has the lower bits",
		filter:    `dns.resp.ext_rcode == 1`, frames: 1,
	},
	{"fastcgi", "ndpi/pcap/fastcgi.pcap.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{0, 0, 1, 0}},
		why:       "the truth has the application's exit status (0), the span HTTP's status",
		filter:    `tcp.port == 9000 && tcp.payload contains "Status:"`, frames: 1,
	},
	{"grpc", "live/grpc.snap160.pcap.gz"}: {
		shortfall: shortfall{missing: 1, differ: [len(aspects)]int{1, 0, 0, 104}},
		why:       "packets are cut to 160 bytes: of answers the end is in what was cut, or in the next packet",
		same:      "live/grpc.vlan.pcap.gz",
	},
	{"grpc", "wireshark/captures/grpc_stream_reassembly_sample.pcapng.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{0, 0, 0, 1}},
		why:       "the stream is over with the server's END_STREAM; the truth waits for the client's RST_STREAM",
		filter:    `frame.number in {167, 170} && tcp.port == 42088`, frames: 2,
	},
	{"grpc", "wireshark/captures/grpc_web.pcapng.gz"}: {
		shortfall: shortfall{missing: 8},
		why:       "gRPC-Web over HTTP/2, which is HTTP here",
		filter:    `tcp.dstport == 57228 && tcp.payload contains "grpc-dotnet"`, frames: 8,
	},
	{"http", "arkime/arkime_synthetic.pcap.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{0, 0, 0, 3}},
		why:       "the body ends with the connection: there with its FIN, here with its last byte",
		filter:    `http.response && tcp.flags.fin == 1 && http.response.phrase == "Success"`, frames: 3,
	},
	{"http", "arkime/gre-erspan-vxlan.pcap.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{0, 1, 0, 0}},
		why:       "a path with a space in it: whole here",
		filter:    `http.request && tcp.payload contains "GET /Hello Arkime HTTP"`, frames: 1,
	},
	{"http", "arkime/socks-http-pass.pcap.gz"}: {
		shortfall: shortfall{missing: 1},
		why:       "behind SOCKS",
		filter:    `tcp.port == 54072 && socks && !http`, frames: 7,
	},
	{"http", "arkime/socks5-reverse.pcap.gz"}: {
		shortfall: shortfall{missing: 2},
		why:       "behind SOCKS",
		filter:    `frame.number in {4, 5, 6, 8, 10} && tcp.payload[0:1] == 05`, frames: 4,
	},
	{"http", "gopacket/pcapgo/tests/le/test301.pcapng.gz"}: {
		shortfall: shortfall{missing: 1},
		why:       "inside TLS, whose keys the capture holds",
		filter:    `http.request && tls.record`, frames: 1,
	},
	{"http", "live/http1-keepalive.loss0.5.pcap.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{0, 0, 19, 55}},
		why:       "an answer was lost; the truth gives each later request of the connection the one before its own (201 for a GET, 200 for a POST)",
		filter:    `tcp.analysis.lost_segment`, frames: 13,
	},
	{"http", "ndpi/pcap/WebattackRCE.pcap.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{0, 1, 0, 0}},
		why:       "a path with a space in it: whole here",
		filter:    `tcp.payload contains "netsonar;cat /etc/passwd|"`, frames: 1,
	},
	{"http", "ndpi/pcap/soap.pcap.gz"}: {
		shortfall: shortfall{extra: 1},
		why:       "one packet of the connection has another port (4176): a request of its own here, part of the other connection there",
		filter:    `tcp.dstport == 4176`, frames: 1,
	},
	{"http", "packetbeat/pcaps/http_10_connection_close.pcap.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{0, 0, 0, 1}},
		why:       "the body ends with the connection: there with its FIN, here with its last byte",
		filter:    `http.response && tcp.flags.fin == 1`, frames: 1,
	},
	{"http", "packetbeat/pcaps/wsgi_drum.pcap.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{0, 0, 0, 16}},
		why:       "the body ends with the connection: there with its FIN, here with its last byte",
		filter:    `http.response && tcp.flags.fin == 1`, frames: 16,
	},
	{"http", "packetbeat/pcaps/wsgi_loopback.pcap.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{0, 0, 0, 1}},
		why:       "the body ends with the connection: there with its FIN, here with its last byte",
		filter:    `http.response && tcp.flags.fin == 1`, frames: 1,
	},
	{"http", "wireshark/captures/challenge01_ooo_stream.pcapng.gz"}: {
		shortfall: shortfall{missing: 12},
		why:       "inside TLS, whose keys the capture holds",
		filter:    `http.request && tls.record`, frames: 12,
	},
	{"http", "wireshark/captures/grpc_web.pcapng.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{0, 0, 0, 6}},
		why:       "answers in chunks go on for seconds: their end is the last chunk's here, the first one's there",
		filter:    `tcp.srcport == 57226 && http.content_type contains "grpc-web" && http.transfer_encoding == "chunked"`, frames: 6,
	},
	{"http", "wireshark/captures/tls-fragmented-over-tcp-segmented.pcapng.gz"}: {
		shortfall: shortfall{missing: 1},
		why:       "inside TLS, whose keys the capture holds",
		filter:    `http.request && tls.record`, frames: 1,
	},
	{"http", "wireshark/captures/tls12-dsb.pcapng.gz"}: {
		shortfall: shortfall{missing: 2},
		why:       "inside TLS, whose keys the capture holds",
		filter:    `http.request && tls.record`, frames: 2,
	},
	{"http", "zeek/Traces/http/261/variant-10-multi_value_te.pcap.gz"}: {
		shortfall: shortfall{missing: 1},
		why:       "a request whose length cannot be told (`chunked, identity`, RFC 9112 6.3) ends the reading; the truth takes a second one out of its body",
		filter:    `http.transfer_encoding contains "identity"`, frames: 1,
	},
	{"http", "zeek/Traces/http/bro.org.pcap.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{0, 0, 0, 5}},
		why:       "a segment is missing; from there the truth's answers end with the next one's",
		filter:    `tcp.port == 55081 && tcp.analysis.lost_segment`, frames: 1,
	},
	{"http", "zeek/Traces/http/http-bad-content-range-01.pcap.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{0, 0, 0, 1}},
		why:       "the body ends with the connection: there with its FIN, here with its last byte",
		filter:    `http.response && tcp.flags.fin == 1`, frames: 1,
	},
	{"http", "zeek/Traces/http/http-inner-transfer-encoding-reproducer.pcap.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{0, 0, 0, 1}},
		why:       "the body ends with the connection: there with its FIN, here with its last byte",
		filter:    `http.response && tcp.flags.fin == 1`, frames: 1,
	},
	{"http", "zeek/Traces/http/http-single-conn-22.pcap.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{0, 0, 0, 1}},
		why:       "the body ends with the connection: there with its FIN, here with its last byte",
		filter:    `tcp.srcport == 22 && tcp.flags.fin == 1`, frames: 1,
	},
	{"http", "zeek/Traces/http/methods.pcap.gz"}: {
		shortfall: shortfall{missing: 18},
		why:       "request lines without a path, or without a version (`GET /HTTP/1.1`, `PUT / HTTP/1.`)",
		filter:    `http.request && !(http.request.version == "HTTP/1.1")`, frames: 18,
	},
	{"http", "zeek/Traces/http/putty-upload.pcap.gz"}: {
		shortfall: shortfall{extra: 1},
		why:       "a POST that is answered before its end, which the truth waits for",
		filter:    `frame.number == 16 && tcp.payload contains "POST /upload"`, frames: 1,
	},
	{"http", "zeek/Traces/mixed-vlan-mpls.pcap.gz"}: {
		shortfall: shortfall{missing: 1},
		why:       "HTTP/0.9: a request line of `GET /`",
		filter:    `frame.number == 37 && tcp.payload contains "GET /" && tcp.len < 12`, frames: 1,
	},
	{"http", "zeek/Traces/ncp.pcap.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{0, 0, 0, 1}},
		why:       "the body ends with the connection: there with its FIN, here with its last byte",
		filter:    `http.response && tcp.flags.fin == 1 && tcp.dstport == 3287`, frames: 1,
	},
	{"http", "zeek/Traces/tcp/retransmit-timeout.pcapng.gz"}: {
		shortfall: shortfall{extra: 1},
		why:       "a request is sent again after five minutes, when its connection is forgotten",
		filter:    `tcp.analysis.retransmission && tcp.len > 0`, frames: 1,
	},
	{"http", "zeek/Traces/tcp/tcp-fast-open.pcap.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{0, 0, 0, 2}},
		why:       "the body ends with the connection: there with its FIN, here with its last byte",
		filter:    `http.response && tcp.flags.fin == 1`, frames: 2,
	},
	{"http", "zeek/Traces/vlan-collisions.pcap.gz"}: {
		shortfall: shortfall{extra: 1, differ: [len(aspects)]int{0, 0, 0, 1}},
		why:       "one connection three times over, in three VLANs; the truth has two",
		filter:    `tcp.flags.syn == 1 && tcp.flags.ack == 0`, frames: 3,
	},
	{"http2", "live/http2-h2c.geneve.pcap.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{0, 0, 0, 1}},
		why:       "the capture ends within the last answer: with its last packet here, with its first there",
		filter:    `tcp.srcport == 8081 && tcp.port == 33932 && tcp.len > 0 && frame.time_epoch >= 1795246737.464811`, frames: 4,
	},
	{"http2", "live/http2-h2c.gre.pcap.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{0, 0, 0, 1}},
		why:       "the capture ends within the last answer: with its last packet here, with its first there",
		filter:    `tcp.srcport == 8081 && tcp.port == 33932 && tcp.len > 0 && frame.time_epoch >= 1795246737.464811`, frames: 4,
	},
	{"http2", "live/http2-h2c.ipip.pcap.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{0, 0, 0, 1}},
		why:       "the capture ends within the last answer: with its last packet here, with its first there",
		filter:    `tcp.srcport == 8081 && tcp.port == 33932 && tcp.len > 0 && frame.time_epoch >= 1795246737.464811`, frames: 4,
	},
	{"http2", "live/http2-h2c.midstream.pcap.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{0, 0, 0, 1}},
		why:       "the capture ends within the last answer: with its last packet here, with its first there",
		filter:    `tcp.srcport == 8081 && tcp.port == 33932 && tcp.len > 0 && frame.time_epoch >= 1795246737.464811`, frames: 4,
	},
	{"http2", "live/http2-h2c.vlan.pcap.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{0, 0, 0, 1}},
		why:       "the capture ends within the last answer: with its last packet here, with its first there",
		filter:    `tcp.srcport == 8081 && tcp.port == 33932 && tcp.len > 0 && frame.time_epoch >= 1795246737.464811`, frames: 4,
	},
	{"http2", "wireshark/captures/http2-brotli.pcapng.gz"}: {
		shortfall: shortfall{missing: 1},
		why:       "inside TLS, whose keys the capture holds",
		filter:    `http2.headers.method && tls.record`, frames: 1,
	},
	{"http2", "wireshark/captures/http2_follow_multistream.pcapng.gz"}: {
		shortfall: shortfall{missing: 19},
		why:       "inside TLS, whose keys the capture holds",
		filter:    `http2.headers.method && tls.record`, frames: 19,
	},
	{"http2", "wireshark/captures/quic-with-secrets.pcapng.gz"}: {
		shortfall: shortfall{missing: 1},
		why:       "inside TLS, whose keys the capture holds",
		filter:    `http2.headers.method && tls.record`, frames: 1,
	},
	{"kafka", "live/kafka-kcat.pcap.gz"}: {
		shortfall: shortfall{extra: 7},
		why:       "nine requests, of which the truth has the first two",
		filter:    `kafka && tcp.dstport == 9092 && tcp.port == 60026`, frames: 9,
	},
	{"kafka", "ndpi/pcap/smpp_in_general.pcap.gz"}: {
		shortfall: shortfall{missing: 2},
		why:       "SMPP",
		filter:    `smpp && tcp.dstport == 9000`, frames: 4,
	},
	{"ldap", "arkime/arkime_synthetic.pcap.gz"}: {
		shortfall: shortfall{extra: 2},
		why:       "two binds, each the only packet of its client and one or two bytes short",
		filter:    `frame.number in {260, 496} && tcp.payload[0:1] == 30`, frames: 2,
	},
	{"mongodb", "ndpi/pcap/mongodb.pcap.gz"}: {
		shortfall: shortfall{extra: 1},
		why:       "a query without an answer; the truth takes it for an answer",
		filter:    `frame.number == 27 && tcp.payload[12:4] == d4:07:00:00`, frames: 1,
	},
	{"mongodb", "zeek/Traces/dce-rpc/mapi.pcap.gz"}: {
		shortfall: shortfall{missing: 1},
		why:       "DCE-RPC in the middle of a connection, in 24 bytes at a time",
		filter:    `frame.number in {65, 66} && tcp.len == 24 && tcp.port == 46348`, frames: 2,
	},
	{"nats", "ndpi/pcap/nats.pcap.gz"}: {
		shortfall: shortfall{missing: 1},
		why:       "the server's own PING, which asks whether the client lives, is passed over",
		filter:    `frame.number == 24 && tcp.payload contains "PING"`, frames: 1,
	},
	{"postgresql", "arkime/arkime_synthetic.pcap.gz"}: {
		shortfall: shortfall{missing: 1, extra: 1},
		why:       "a STARTUP that is longer than it says, with its last name cut, is none; one that is shorter is",
		filter:    `frame.number in {480, 274} && tcp.dstport == 5432`, frames: 2,
	},
	{"postgresql", "live/pgsql-extended.reorder3.pcap.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{0, 0, 0, 1995}},
		why:       "answers lie before their requests in the capture, and the truth pairs one off from there: where a span ends here, the answer's tag is its operation, where it begins the truth's is another's",
		filter:    `pgsql.frontend == 0 && tcp.analysis.acks_frame`, frames: 2110,
		tags: true,
	},
	{"postgresql", "live/pgsql-extended.snap160.pcap.gz"}: {
		shortfall: shortfall{extra: 2193},
		why:       "packets are cut to 160 bytes: the truth loses its place with the first",
		same:      "live/pgsql-extended.vlan.pcap.gz",
	},
	{"redis", "live/redis-errors.pcap.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{0, 0, 0, 1}},
		why:       "the answer to COMMAND comes in many segments: its end is the last one's here",
		filter:    `tcp.srcport == 6379 && tcp.port == 33462 && frame.time_epoch > 1795246906.636290 && frame.time_epoch <= 1795246906.637435 && tcp.len > 0`, frames: 119,
	},
	{"redis", "live/redis-p32.base700k.pcap.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{26, 0, 0, 1752}},
		why:       "of 173 pipelines of 32 commands, each answered by one packet of 160 bytes, the truth has 33 commands (which `half` leaves out); its answers are one off from there",
		filter:    `tcp.srcport == 6379 && tcp.len == 160 && !tcp.analysis.retransmission`, frames: 173,
	},
	{"redis", "live/redis-p32.dup2.pcap.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{26, 0, 0, 1752}},
		why:       "of 173 pipelines of 32 commands, each answered by one packet of 160 bytes, the truth has 33 commands (which `half` leaves out); its answers are one off from there",
		filter:    `tcp.srcport == 6379 && tcp.len == 160 && !tcp.analysis.retransmission`, frames: 173,
	},
	{"redis", "live/redis-p32.qinq.pcap.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{26, 0, 0, 1752}},
		why:       "of 173 pipelines of 32 commands, each answered by one packet of 160 bytes, the truth has 33 commands (which `half` leaves out); its answers are one off from there",
		filter:    `tcp.srcport == 6379 && tcp.len == 160 && !tcp.analysis.retransmission`, frames: 173,
	},
	{"redis", "live/redis-p32.reorder3.pcap.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{190, 0, 0, 1622}},
		why:       "of 173 pipelines of 32 commands, each answered by one packet of 160 bytes, the truth has 33 commands (which `half` leaves out); its answers are one off from there",
		filter:    `tcp.srcport == 6379 && tcp.len == 160`, frames: 173,
	},
	{"redis", "live/redis-p32.vlan.pcap.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{26, 0, 0, 1752}},
		why:       "of 173 pipelines of 32 commands, each answered by one packet of 160 bytes, the truth has 33 commands (which `half` leaves out); its answers are one off from there",
		filter:    `tcp.srcport == 6379 && tcp.len == 160 && !tcp.analysis.retransmission`, frames: 173,
	},
	{"redis", "zeek/Traces/redis/large-requests-responses.pcap.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{0, 0, 0, 1}},
		why:       "the answer to COMMAND comes in many segments: its end is the last one's here",
		filter:    `tcp.srcport == 6379 && tcp.port == 52710 && tcp.len > 0`, frames: 20,
	},
	{"redis", "zeek/Traces/redis/pubsub.pcap.gz"}: {
		shortfall: shortfall{missing: 3, extra: 3},
		why:       "messages of a subscription come from the server: for the truth it is their client",
		filter:    `tcp.srcport == 6379 && tcp.payload contains "message"`, frames: 2,
	},
	{"someip", "ndpi/pcap/someip-tp.pcap.gz"}: {
		shortfall: shortfall{missing: 8},
		why:       "nine parts of one message: one exchange",
		filter:    `udp.port == 18193 && udp.payload[14:1] == 20`, frames: 9,
	},
	{"someip", "ndpi/pcap/someip-udp-method-call.pcapng.gz"}: {
		shortfall: shortfall{missing: 1, extra: 1},
		why:       "a notification comes from the server: for the truth it is its client",
		filter:    `udp.payload[14:1] == 02`, frames: 1,
	},
	{"someip", "ndpi/pcap/someip_sd_sample.pcap.gz"}: {
		shortfall: shortfall{missing: 4, extra: 4},
		why:       "notifications come from the server: for the truth it is their client",
		filter:    `udp.payload[14:1] == 02`, frames: 6,
	},
	{"tds", "arkime/arkime_synthetic.pcap.gz"}: {
		shortfall: shortfall{missing: 1},
		why:       "a login of TDS 4 without its contents",
		filter:    `frame.number == 297 && tds.type == 2`, frames: 1,
	},
	{"tds", "arkime/ntlm_synthetic.pcap.gz"}: {
		shortfall: shortfall{missing: 1},
		why:       "the server sends a packet that clients send (SSPI)",
		filter:    `frame.number == 212 && tds.type == 17 && tcp.srcport == 1433`, frames: 1,
	},
	{"thrift", "packetbeat/pcaps/thrift_echo_binary.pcap.gz"}: {
		shortfall: shortfall{missing: 4},
		why:       "one call, which the capture has six times",
		filter:    `tcp.dstport == 9090 && tcp.len > 0 && tcp.analysis.retransmission`, frames: 5,
	},
	{"tls", "ndpi/pcap/tls_heur__trojan-tcp-tls.pcapng.gz"}: {
		shortfall: shortfall{missing: 1},
		why:       "behind SOCKS",
		filter:    `tcp.port == 60654 && socks && !tls`, frames: 5,
	},
	{"tls", "ndpi/pcap/tls_heur__vmess-tcp-tls.pcapng.gz"}: {
		shortfall: shortfall{missing: 1},
		why:       "behind SOCKS",
		filter:    `tcp.port == 40136 && socks && !tls`, frames: 5,
	},
	{"tls", "ndpi/pcap/tls_heur__vmess-websocket.pcapng.gz"}: {
		shortfall: shortfall{missing: 1},
		why:       "behind SOCKS",
		filter:    `tcp.port == 44532 && socks && !tls`, frames: 4,
	},
	{"tls", "wireshark/captures/tls-fragmented-handshakes.pcap.gz"}: {
		shortfall: shortfall{missing: 2, differ: [len(aspects)]int{3, 0, 0, 0}},
		why:       "by hand: the first record is shorter than the head of the ClientHello in it; of three more the hello begins in an earlier record than where the truth has it",
		filter:    `frame.number in {442, 515} && tcp.payload[0:3] == 16:03:01`, frames: 2,
	},
	{"tls", "wireshark/captures/wireguard-ping-tcp-dsb.pcapng.gz"}: {
		shortfall: shortfall{missing: 1},
		why:       "inside WireGuard, whose keys the capture holds",
		filter:    `wg && tls.handshake.type == 1`, frames: 1,
	},
	{"tls", "zeek/Traces/tls/certificate-request-failed.pcap.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{0, 0, 1, 0}},
		why:       "alerts have names here, numbers there",
		filter:    `tls.alert_message.desc`, frames: 1,
	},
	{"tls", "zeek/Traces/tls/pop3-starttls.pcap.gz"}: {
		shortfall: shortfall{missing: 1},
		why:       "behind POP3, which is not read: STLS is not noticed",
		filter:    `pop.request.command == "STLS"`, frames: 1,
	},
	{"tls", "zeek/Traces/tls/tls-1.2-handshake-failure.pcap.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{0, 0, 1, 0}},
		why:       "alerts have names here, numbers there",
		filter:    `tls.alert_message.desc`, frames: 1,
	},
	{"tls", "zeek/Traces/tls/tls13draft16-chrome55.0.2879.0-canary-aborted.pcap.gz"}: {
		shortfall: shortfall{differ: [len(aspects)]int{0, 0, 2, 0}},
		why:       "alerts have names here, numbers there",
		filter:    `tls.alert_message.desc`, frames: 2,
	},
	{"tns", "arkime/arkime_synthetic.pcap.gz"}: {
		shortfall: shortfall{missing: 1},
		why:       "the connect's text begins inside its fixed fields (offset 28)",
		filter:    `frame.number == 563 && tns.connect_data_offset == 28`, frames: 1,
	},
}
