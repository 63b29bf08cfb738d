package dns

import (
	"net/netip"
	"strconv"

	"github.com/hopscope/hopscope/internal/l7"
)

// maxText bounds a name as text: 255 bytes, each of which may take four.
const maxText = 1024

// maxJumps bounds the compression pointers of one name: each points backwards,
// and real names have one or two.
const maxJumps = 16

// name writes the name at b[i:] into dst and returns how long it is there and
// where what follows it starts; next is -1 for what is no name, or is cut.
func name(dst, b []byte, i int) (n, next int) {
	next = -1
	for jumps := 0; i < len(b); {
		c := int(b[i])
		switch {
		case c == 0:
			if next < 0 {
				next = i + 1
			}
			if n == 0 && len(dst) > 0 {
				dst[0] = '.' // the root
				n = 1
			}
			return n, next
		case c < 64:
			if i+1+c > len(b) || n+1+4*c > len(dst) {
				return 0, -1
			}
			if n > 0 {
				dst[n] = '.'
				n++
			}
			for _, x := range b[i+1 : i+1+c] {
				if x > ' ' && x < 0x7f && x != '.' && x != '\\' {
					dst[n] = x
					n++
					continue
				}
				dst[n], dst[n+1], dst[n+2], dst[n+3] = '\\', '0'+x/100, '0'+x/10%10, '0'+x%10
				n += 4
			}
			i += 1 + c
		case c >= 0xc0:
			if i+1 >= len(b) {
				return 0, -1
			}
			to := c&0x3f<<8 | int(b[i+1])
			if next < 0 {
				next = i + 2
			}
			if jumps++; to >= i || jumps > maxJumps {
				return 0, -1
			}
			i = to
		default:
			return 0, -1
		}
	}
	return 0, -1
}

// skipName is where what follows the name at b[i:] starts, or -1.
func skipName(b []byte, i int) int {
	for start := i; i < len(b) && i-start < 256; {
		switch c := b[i]; {
		case c == 0:
			return i + 1
		case c < 64:
			i += 1 + int(c)
		case c >= 0xc0 && i+1 < len(b) && int(c&0x3f)<<8|int(b[i+1]) < i:
			return i + 2
		default:
			return -1
		}
	}
	return -1
}

// asked is one question.
type asked struct{ typ, class, end int }

func question(b []byte) (asked, bool) {
	if len(b) < headerLen || u16(b, 4) == 0 {
		return asked{end: headerLen}, false
	}
	return questionAt(b, headerLen)
}

func questionAt(b []byte, i int) (q asked, ok bool) {
	i = skipName(b, i)
	if i < 0 || i+4 > len(b) {
		return q, false
	}
	return asked{typ: u16(b, i), class: u16(b, i+2), end: i + 4}, true
}

// plausible: a type and a class that there are. The top bit of the class is
// multicast DNS's.
func (q *asked) plausible() bool {
	if c := q.class &^ 0x8000; c != 1 && c != 3 && c != 4 && c != 254 && c != 255 {
		return false
	}
	return q.typ > 0 && q.typ <= 300 || q.typ == 32768 || q.typ == 32769 || q.typ >= 65280
}

// record is one resource record.
type record struct{ typ, class, ttl, data, end int }

func recordAt(b []byte, i int) (r record, ok bool) {
	i = skipName(b, i)
	if i < 0 || i+10 > len(b) {
		return r, false
	}
	r = record{typ: u16(b, i), class: u16(b, i+2), ttl: u16(b, i+4)<<16 | u16(b, i+6), data: i + 10}
	r.end = r.data + u16(b, i+8)
	return r, r.end <= len(b)
}

// records lists the answers, and returns the upper bits of the result, which
// the OPT record carries (RFC 6891).
func (p *parser) records(b []byte, q *asked, m *l7.Message) (extended int, whole bool) {
	i := q.end
	for range u16(b, 4) - 1 {
		more, ok := questionAt(b, i)
		if !ok {
			return 0, false
		}
		i = more.end
	}
	an := u16(b, 6)
	all := an + u16(b, 8) + u16(b, 10)
	for k := range min(all, maxRecords) {
		r, ok := recordAt(b, i)
		if !ok {
			return extended, false
		}
		switch {
		case k < an && k < maxAnswers:
			if s := answer(m.Text, b, &r); s != "" {
				m.AddList("dns.answers", s)
			}
		case r.typ == 41:
			extended = r.ttl >> 24 << 4
		}
		i = r.end
	}
	return extended, true
}

// answer is the value of a record in one word, "" for types that have none:
// texts, keys and signatures.
func answer(text *l7.Text, b []byte, r *record) string {
	d := b[r.data:r.end]
	at := r.data
	switch r.typ {
	case 1:
		if len(d) != 4 {
			return ""
		}
		return text.Build(15, func(dst []byte) int {
			return len(netip.AddrFrom4([4]byte(d)).AppendTo(dst[:0]))
		})
	case 28:
		if len(d) != 16 {
			return ""
		}
		return text.Build(45, func(dst []byte) int {
			return len(netip.AddrFrom16([16]byte(d)).AppendTo(dst[:0]))
		})
	case 2, 5, 12, 39: // NS, CNAME, PTR, DNAME
	case 15: // MX: preference, name
		at += 2
	case 33: // SRV: priority, weight, port, name
		at += 6
	default:
		return ""
	}
	if at >= r.end {
		return ""
	}
	return text.Build(maxText, func(dst []byte) int {
		n, _ := name(dst, b[:r.end], at)
		return n
	})
}

// decimal is n as text; small ones are ready.
func decimal(text *l7.Text, n int) string {
	if n < 10 {
		return "0123456789"[n : n+1]
	}
	return text.Build(5, func(dst []byte) int { return len(strconv.AppendUint(dst[:0], uint64(n), 10)) })
}

// rcode is the name of a result (https://www.iana.org/assignments/dns-parameters).
func rcode(code int) string {
	switch code {
	case 1:
		return "FORMERR"
	case 2:
		return "SERVFAIL"
	case 3:
		return "NXDOMAIN"
	case 4:
		return "NOTIMP"
	case 5:
		return "REFUSED"
	case 6:
		return "YXDOMAIN"
	case 7:
		return "YXRRSET"
	case 8:
		return "NXRRSET"
	case 9:
		return "NOTAUTH"
	case 10:
		return "NOTZONE"
	case 11:
		return "DSOTYPENI"
	case 16:
		return "BADVERS"
	case 17:
		return "BADKEY"
	case 18:
		return "BADTIME"
	case 19:
		return "BADMODE"
	case 20:
		return "BADNAME"
	case 21:
		return "BADALG"
	case 22:
		return "BADTRUNC"
	case 23:
		return "BADCOOKIE"
	}
	return ""
}

// rrtype is a type's name and the name of a span that asks for it.
type rrtype struct{ name, span string }

func typeOf(t int) rrtype {
	if t < len(types) {
		return types[t]
	}
	return rrtype{}
}

// types by number.
var types = func() (t [262]rrtype) {
	for n, s := range map[int]string{
		1: "A", 2: "NS", 3: "MD", 4: "MF", 5: "CNAME", 6: "SOA", 7: "MB", 8: "MG", 9: "MR", 10: "NULL", 11: "WKS", 12: "PTR",
		13: "HINFO", 14: "MINFO", 15: "MX", 16: "TXT", 17: "RP", 18: "AFSDB", 19: "X25", 20: "ISDN", 21: "RT", 22: "NSAP",
		24: "SIG", 25: "KEY", 26: "PX", 27: "GPOS", 28: "AAAA", 29: "LOC", 30: "NXT", 33: "SRV", 35: "NAPTR", 36: "KX",
		37: "CERT", 38: "A6", 39: "DNAME", 41: "OPT", 42: "APL", 43: "DS", 44: "SSHFP", 45: "IPSECKEY", 46: "RRSIG",
		47: "NSEC", 48: "DNSKEY", 49: "DHCID", 50: "NSEC3", 51: "NSEC3PARAM", 52: "TLSA", 53: "SMIMEA", 55: "HIP",
		59: "CDS", 60: "CDNSKEY", 61: "OPENPGPKEY", 62: "CSYNC", 63: "ZONEMD", 64: "SVCB", 65: "HTTPS", 99: "SPF",
		108: "EUI48", 109: "EUI64", 249: "TKEY", 250: "TSIG", 251: "IXFR", 252: "AXFR", 253: "MAILB", 254: "MAILA",
		255: "ANY", 256: "URI", 257: "CAA", 258: "AVC", 260: "AMTRELAY", 261: "RESINFO",
	} {
		t[n] = rrtype{s, "DNS " + s}
	}
	return t
}()
