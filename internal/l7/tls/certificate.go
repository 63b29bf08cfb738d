package tls

import (
	"github.com/hopscope/hopscope/internal/l7"
)

// certificate reads the first of a chain, as far as it is there: whose it is
// and how long it is good (RFC 5280, 4.1).
func certificate(c l7.Cursor, m *l7.Message) {
	c.Skip(3) // length of the chain
	n := int(c.U24())
	if c.Short() {
		return
	}
	d := der(c.Rest()[:min(n, c.Len())])
	d = d.enter(tagSequence) // Certificate
	d = d.enter(tagSequence) // TBSCertificate
	d.skip(tagContext0)      // version
	d.skip(tagInteger)
	d.skip(tagSequence) // signature algorithm
	issuer := d.take(tagSequence)
	validity := d.take(tagSequence)
	if validity == nil {
		return
	}
	from, to := validity.time(m.Text), validity.time(m.Text)
	subject := d.take(tagSequence)
	add := func(key, value string) {
		if value != "" {
			m.Add(key, value)
		}
	}
	add("tls.server.subject", name(subject, m.Text))
	add("tls.server.issuer", name(issuer, m.Text))
	add("tls.server.not_before", from)
	add("tls.server.not_after", to)
}

// Tags of DER.
const (
	tagInteger   = 0x02
	tagOID       = 0x06
	tagUTCTime   = 0x17
	tagTime      = 0x18
	tagSequence  = 0x30
	tagSet       = 0x31
	tagContext0  = 0xa0
	maxNameParts = 8 // of a distinguished name: more is nobody's
)

// der is a row of DER elements, which may be cut anywhere.
type der []byte

// head is the element at the front: its tag, where its content starts, and its
// length, which may be more than is there.
func (d der) head() (tag byte, at, n int) {
	if len(d) < 2 {
		return 0, 0, 0
	}
	n, at = int(d[1]), 2
	if n >= 0x80 {
		k := n & 0x7f
		if k == 0 || k > 3 || len(d) < 2+k {
			return 0, 0, 0
		}
		n = 0
		for _, c := range d[2 : 2+k] {
			n = n<<8 | int(c)
		}
		at += k
	}
	return d[0], at, n
}

// enter is the content of the element at the front, as far as it is there.
func (d der) enter(tag byte) der {
	t, at, n := d.head()
	if t != tag || at == 0 {
		return nil
	}
	return d[at:min(at+n, len(d))]
}

// take is the content of the element at the front, which must be whole, and
// moves behind it.
func (d *der) take(tag byte) der {
	t, at, n := d.head()
	if t != tag || at == 0 || at+n > len(*d) {
		return nil
	}
	v := (*d)[at : at+n]
	*d = (*d)[at+n:]
	if v == nil {
		v = der{}
	}
	return v
}

// skip moves behind the element at the front if it has that tag.
func (d *der) skip(tag byte) { d.take(tag) }

// time is the next element as ISO 8601: DER writes times as digits and a Z.
func (d *der) time(text *l7.Text) string {
	v := d.take(tagUTCTime)
	century := "20"
	if len(v) == 13 && v[0] >= '5' {
		century = "19" // two digits of a year are of 1950 to 2049
	}
	if v == nil {
		if v = d.take(tagTime); len(v) != 15 {
			return ""
		}
		century = l7.View(v[:2])
		v = v[2:]
	}
	if len(v) != 13 || v[12] != 'Z' {
		return ""
	}
	var part [6]int
	for i := range part {
		hi, lo := v[2*i]-'0', v[2*i+1]-'0'
		if hi > 9 || lo > 9 {
			return ""
		}
		part[i] = int(hi)*10 + int(lo)
	}
	if part[1] < 1 || part[1] > 12 || part[2] < 1 || part[2] > 31 || part[3] > 23 || part[4] > 59 || part[5] > 60 ||
		century[0]-'0' > 9 || century[1]-'0' > 9 {
		return ""
	}
	s := l7.View(v)
	return text.Join(century, s[:2], "-", s[2:4], "-", s[4:6], "T", s[6:8], ":", s[8:10], ":", s[10:13])
}

// name writes a distinguished name as RFC 4514 has it, its parts in the order of
// the certificate reversed.
func name(d der, text *l7.Text) string {
	var parts [maxNameParts]string
	n := 0
	for n < maxNameParts {
		set := d.take(tagSet)
		if set == nil {
			break
		}
		pair := set.take(tagSequence)
		oid := pair.take(tagOID)
		tag, _, _ := pair.head()
		if tag != 0x0c && tag != 0x13 && tag != 0x14 && tag != 0x16 { // kinds of text
			continue
		}
		v := pair.take(tag)
		key := attributeType(oid)
		if key == "" || len(v) == 0 || len(v) > 128 || !hostText(v) {
			continue
		}
		parts[n] = text.Join(key, "=", l7.View(v))
		n++
	}
	switch n {
	case 0:
		return ""
	case 1:
		return parts[0]
	}
	out := parts[n-1]
	for i := n - 2; i >= 0; i-- {
		out = text.Join(out, ",", parts[i])
	}
	return out
}

// attributeType is the short name of the parts that names are made of: 2.5.4.x.
func attributeType(oid der) string {
	if len(oid) != 3 || oid[0] != 0x55 || oid[1] != 4 {
		return ""
	}
	switch oid[2] {
	case 3:
		return "CN"
	case 6:
		return "C"
	case 7:
		return "L"
	case 8:
		return "ST"
	case 10:
		return "O"
	case 11:
		return "OU"
	}
	return ""
}

func hostText(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}
