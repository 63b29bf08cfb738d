package convert

import (
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/hopscope/hopscope/internal/l7"
	"github.com/hopscope/hopscope/internal/l7/sqltext"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/wire"
)

// Annotations with a meaning of their own.
const (
	keyAPI            = 12
	keyReturn         = 14
	keySQLID          = 20
	keySQLUID         = 25
	keyURL            = 40
	keyParam          = 41
	keyEntity         = 42
	keyCookie         = 45
	keyStatus         = 46
	keyRequestHeader  = 47
	keyIO             = 49
	keyMethod         = 50
	keyResponseHeader = 55
	keyCxfMethod      = 206
	keyGRPCStatus     = 160
	keyExceptionChain = -52
	keyRedisIO        = 310
	keyProxy          = 300
)

// facts are what annotations say beyond their attributes.
type facts struct {
	httpServer         bool
	api, name          string
	method, url, topic string
	status             int64
	chain              int64
	sql                *statement
}

// annotations writes the attributes of as.
func (w *spanWriter) annotations(m pcommon.Map, as []wire.Annotation, f *facts) {
	for i := range as {
		a := &as[i]
		switch a.Key {
		case keyAPI:
			f.api = a.S[0]
		case keySQLID, keySQLUID:
			w.sql(m, a, f)
		case keyURL:
			w.url(m, a.S[0], f)
		case keyParam:
			// Values are personal; the names tell what was asked.
			put(m, "url.query", queryNames(a.S[0]))
		case keyEntity, keyCookie, keyReturn, 23, 24:
			// Bodies, cookies, results, bind values: never by default.
		case keyStatus:
			if f.status = statusCode(a); f.status > 0 {
				m.PutInt("http.response.status_code", f.status)
			}
		case keyMethod, keyCxfMethod:
			f.method = a.S[0]
			put(m, "http.request.method", f.method)
		case keyRequestHeader, keyResponseHeader:
			header(m, a)
		case keyGRPCStatus:
			put(m, "rpc.response.status_code", a.S[0])
		case keyExceptionChain:
			f.chain = a.N[0]
		case keyIO, keyRedisIO:
			m.PutInt("pinpoint.io.write_ms", a.N[0])
			m.PutInt("pinpoint.io.read_ms", a.N[2])
		case keyProxy:
			m.PutInt("pinpoint.proxy.received_time", a.N[0])
			m.PutInt("pinpoint.proxy.type", a.N[1])
			m.PutInt("pinpoint.proxy.duration", a.N[2])
			put(m, "pinpoint.proxy.application", a.S[0])
		case 140, 130, 800, 898, 191:
			f.topic = strings.TrimPrefix(a.S[0], "exchange-")
			put(m, "messaging.destination.name", f.topic)
		case 131:
			put(m, "messaging.rabbitmq.destination.routing_key", a.S[0])
		case 141, 896:
			put(m, "messaging.destination.partition.id", text(a))
		case 142:
			m.PutInt("messaging.kafka.offset", a.N[0])
		case 143, 803:
			m.PutInt("messaging.batch.message_count", a.N[0])
		case 145:
			put(m, "messaging.consumer.group.name", a.S[0])
		case 897:
			put(m, "messaging.message.id", a.S[0])
		default:
			w.other(m, a)
		}
	}
}

// other is an annotation without a convention. Arguments and bodies may hold
// anything: their presence is told, not their value.
func (w *spanWriter) other(m pcommon.Map, a *wire.Annotation) {
	name := annotationKeys[a.Key]
	if name == "" {
		name = strconv.Itoa(int(a.Key))
	}
	switch {
	case a.Key <= -1 && a.Key >= -11, a.Key <= -30 && a.Key >= -40, // arguments
		a.Key == 81, a.Key == 82, a.Key >= 90 && a.Key <= 91, a.Key >= 997 && a.Key <= 998, // of RPCs, and results
		a.Key == 102, a.Key == 132, a.Key == 133, a.Key == 144, a.Key == 193, // messages
		a.Key >= 150 && a.Key <= 154, a.Key == 171, a.Key == 173, a.Key == 177, // queries as JSON
		a.Key >= 201 && a.Key <= 202, a.Key >= 208 && a.Key <= 210, a.Key == 320:
		return
	}
	put(m, "pinpoint.annotation."+strings.ReplaceAll(name, " ", "_"), text(a))
}

// text is an annotation's value as people read it.
func text(a *wire.Annotation) string {
	switch a.Kind {
	case wire.String:
		return a.S[0][:min(len(a.S[0]), maxText)]
	case wire.Bool:
		return strconv.FormatBool(a.N[0] != 0)
	case wire.Int, wire.Long, wire.Short, wire.Byte:
		return strconv.FormatInt(a.N[0], 10)
	case wire.Double:
		return strconv.FormatFloat(a.D, 'g', -1, 64)
	case wire.IntString, wire.IntStringString:
		return join(strconv.FormatInt(a.N[0], 10), join(a.S[0], a.S[1]))
	case wire.StringString:
		return join(a.S[0], a.S[1])
	}
	return ""
}

// statusCode of HTTP: a number, or, from the C agents, "200 OK".
func statusCode(a *wire.Annotation) int64 {
	if a.Kind != wire.String {
		return a.N[0]
	}
	n, _, _ := strings.Cut(a.S[0], " ")
	v, err := strconv.ParseInt(n, 10, 32)
	if err != nil {
		return 0
	}
	return v
}

// url is what was called: a URL, with its verb in front from the Go agent, or
// the method of an RPC.
func (w *spanWriter) url(m pcommon.Map, s string, f *facts) {
	verb, rest, ok := strings.Cut(s, " ")
	if ok && verb != "" && strings.ToUpper(verb) == verb && strings.Contains(rest, "://") {
		f.method, s = verb, rest
		m.PutStr("http.request.method", verb)
	}
	f.url = s
	query := ""
	if q := strings.IndexAny(s, "?#"); q >= 0 {
		s, query = s[:q], s[q+1:]
	}
	i := strings.Index(s, "://")
	if i < 0 {
		return
	}
	put(m, "url.query", queryNames(query))
	host := s[i+3:]
	if k := strings.IndexByte(host, '/'); k >= 0 {
		host = host[:k]
	}
	if at := strings.LastIndexByte(host, '@'); at >= 0 { // never a password
		s = s[:i+3] + s[i+3+at+1:]
		host = host[at+1:]
	}
	if strings.HasPrefix(s, "http") {
		m.PutStr("url.full", s)
	}
	address(m, host, "server.address", "server.port")
}

// queryNames are the names in a query, without their values.
func queryNames(q string) string {
	if q == "" || !strings.ContainsRune(q, '=') {
		return ""
	}
	var b strings.Builder
	for pair := range strings.SplitSeq(q, "&") {
		name, _, ok := strings.Cut(pair, "=")
		if !ok || name == "" || b.Len() > maxQuery {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(name)
	}
	return b.String()
}

// maxQuery bounds the names of a query.
const maxQuery = 2048

// header writes one that the agent was told to record; credentials never.
func header(m pcommon.Map, a *wire.Annotation) {
	name := strings.ToLower(a.S[0])
	if name == "" {
		return
	}
	prefix := "http.request.header."
	if a.Key == keyResponseHeader {
		prefix = "http.response.header."
	}
	value := a.S[1]
	switch name {
	case "cookie", "set-cookie", "authorization", "proxy-authorization":
		value = "REDACTED"
	case "user-agent":
		if a.Key == keyRequestHeader {
			m.PutStr("user_agent.original", value)
			return
		}
	}
	m.PutEmptySlice(prefix + name).AppendEmpty().SetStr(value)
}

// statement is what is told of a text of SQL.
type statement struct{ text, op, table, summary, name string }

// maxStatements bounds the memory of statements; agents keep 1024 each.
const maxStatements = 8192

// sql writes the statement that a refers to.
func (w *spanWriter) sql(m pcommon.Map, a *wire.Annotation, f *facts) {
	var src string
	switch {
	case a.Key == keySQLUID:
		src = w.a.uids[a.B]
	case a.Kind == wire.IntStringString:
		src = w.a.sqls[int32(a.N[0])].Text
		if src == "" && w.a.Protocol == "" && a.N[0] == 0 {
			src = a.S[0] // the C agents send the text itself
		}
	case a.Kind == wire.Int:
		src = w.a.sqls[int32(a.N[0])].Text
	}
	if src == "" {
		w.c.stats.UnknownText++
		return
	}
	st := w.c.statement(src)
	f.sql = st
	text := st.text
	if w.c.cfg.KeepLiterals && (a.Kind == wire.IntStringString || a.Kind == wire.BytesStrStr) {
		text = literals(src, a.S[0])
		for i, v := range binds(a.S[1]) {
			m.PutStr("db.query.parameter."+strconv.Itoa(i), v)
		}
	}
	put(m, "db.query.text", text)
	put(m, "db.operation.name", st.op)
	put(m, "db.collection.name", st.table)
	put(m, "db.query.summary", st.summary)
}

func (c *Converter) statement(src string) *statement {
	if st := c.sql[src]; st != nil {
		return st
	}
	msg := l7.Message{Text: &c.text}
	sqltext.Read(l7.DefaultOptions(), []byte(placeholders(src)), &msg)
	st := &statement{text: strings.Clone(msg.Target), op: strings.Clone(msg.Op), table: strings.Clone(msg.Route), name: strings.Clone(msg.Name)}
	for _, at := range msg.Attrs {
		if at.Key == "db.query.summary" {
			st.summary = strings.Clone(at.Str)
		}
	}
	if st.name == "" {
		st.name = join(st.op, st.table)
	}
	if len(c.sql) >= maxStatements {
		clear(c.sql)
	}
	c.sql[src] = st
	return st
}

// literals puts values back in the place of the marks that agents left: they are
// joined by commas, of which one that belongs to a value is doubled.
func literals(sql, values string) string {
	var list []string
	var b strings.Builder
	for i := 0; i < len(values); i++ {
		switch {
		case values[i] != ',':
			b.WriteByte(values[i])
		case i+1 < len(values) && values[i+1] == ',':
			b.WriteByte(',')
			i++
		default:
			list = append(list, b.String())
			b.Reset()
			if i+1 < len(values) && values[i+1] == ' ' {
				i++
			}
		}
	}
	list = append(list, b.String())
	return marks(sql, func(n int, text bool) string {
		switch {
		case n >= len(list):
			return "?"
		case text:
			return "'" + list[n] + "'"
		}
		return list[n]
	})
}

// maxBinds bounds the bind values of a statement: agents cut them at 1024 bytes
// in all.
const maxBinds = 256

// binds are the bind values of a statement: joined by ", " and not told apart
// from what is in them.
func binds(s string) []string {
	if s == "" {
		return nil
	}
	return strings.SplitN(s, ", ", maxBinds)
}

// placeholders turns the marks that agents put in the place of literals into
// question marks: 0# for a number, '1$' for a string.
func placeholders(s string) string {
	return marks(s, func(int, bool) string { return "?" })
}

// marks replaces the marks in s: by gives what stands for the nth literal, which
// is a text or a number.
func marks(s string, by func(n int, text bool) string) string {
	var b strings.Builder
	b.Grow(len(s))
	digits := func(from int) int {
		j := from
		for j < len(s) && s[j] >= '0' && s[j] <= '9' {
			j++
		}
		return j
	}
	for i := 0; i < len(s); {
		c := s[i]
		if c >= '0' && c <= '9' && (i == 0 || !wordByte(s[i-1])) {
			j := digits(i)
			if n, err := strconv.Atoi(s[i:j]); err == nil && j < len(s) && s[j] == '#' {
				b.WriteString(by(n, false))
				i = j + 1
				continue
			}
			b.WriteString(s[i:j])
			i = j
			continue
		}
		if c == '\'' {
			if j := digits(i + 1); j > i+1 && strings.HasPrefix(s[j:], "$'") {
				if n, err := strconv.Atoi(s[i+1 : j]); err == nil {
					b.WriteString(by(n, true))
					i = j + 2
					continue
				}
			}
		}
		b.WriteByte(c)
		i++
	}
	return b.String()
}

func wordByte(c byte) bool {
	return c == '_' || c == '$' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= 0x80
}
