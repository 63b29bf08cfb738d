package tls

import (
	"bytes"
	stdtls "crypto/tls"

	"github.com/hopscope/hopscope/internal/l7"
)

// Extensions (https://www.iana.org/assignments/tls-extensiontype-values).
const (
	extServerName = 0
	extALPN       = 16
	extVersions   = 43
)

// extensions calls f for each extension that is whole.
func extensions(c *l7.Cursor, f func(typ uint16, v l7.Cursor)) {
	n := int(c.U16())
	if c.Short() {
		return
	}
	e := l7.NewCursor(c.Rest()[:min(n, c.Len())])
	for e.Len() >= 4 {
		typ := e.U16()
		v := e.Take(int(e.U16()))
		if e.Short() {
			return
		}
		f(typ, l7.NewCursor(v))
	}
}

// clientHello reads what the client offers.
func (p *parser) clientHello(c l7.Cursor, m *l7.Message) {
	c.Skip(2 + 32)
	id := c.Take(int(c.U8()))
	p.sentN = copy(p.sent[:], id)
	c.Skip(int(c.U16())) // ciphers
	c.Skip(int(c.U8()))  // compression
	if c.Short() {
		return
	}
	extensions(&c, func(typ uint16, v l7.Cursor) {
		if typ != extServerName {
			return
		}
		v.Skip(2)
		if v.U8() != 0 { // a host name
			return
		}
		if name := v.Take(int(v.U16())); !v.Short() && hostName(name) {
			m.Domain = m.Text.Copy(name)
			m.Add("tls.client.server_name", m.Domain)
		}
	})
}

// hostName: as names are, so that no garbage is taken for one.
func hostName(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return len(b) > 0 && len(b) <= 255
}

// retryRandom is what a ServerHello has in place of a random number when it is
// a HelloRetryRequest (RFC 8446, 4.1.3).
var retryRandom = []byte("\xcf\x21\xad\x74\xe5\x9a\x61\x11\xbe\x1d\x8c\x02\x1e\x65\xb8\x91\xc2\xa2\x11\x16\x7a\xbb\x8c\x5e\x07\x9e\x09\xe2\xc8\xa8\x33\x9c")

// serverHello reads what the server chose.
func (p *parser) serverHello(c l7.Cursor, m *l7.Message) {
	version := c.U16()
	random := c.Take(32)
	id := c.Take(int(c.U8()))
	cipher := c.U16()
	c.Skip(1) // compression
	if c.Short() {
		return
	}
	if p.retry = bytes.Equal(random, retryRandom); p.retry {
		return
	}
	alpn := ""
	extensions(&c, func(typ uint16, v l7.Cursor) {
		switch typ {
		case extVersions:
			version = v.U16()
		case extALPN:
			v.Skip(2)
			if name := v.Take(int(v.U8())); !v.Short() && hostName(name) {
				alpn = m.Text.Copy(name)
			}
		}
	})
	m.Version = versionName(version)
	p.v13 = m.Version == "1.3"
	m.Add("tls.protocol.version", m.Version)
	m.Add("tls.cipher", cipherName(cipher))
	if alpn != "" {
		m.Add("tls.next_protocol", alpn)
	}
	// In TLS 1.3 the id is echoed always, for the sake of middleboxes.
	if !p.v13 && p.asked {
		m.AddBool("tls.resumed", len(id) > 0 && bytes.Equal(id, p.sent[:p.sentN]))
	}
}

func versionName(v uint16) string {
	switch {
	case v == 0x0300:
		return "3.0" // SSL
	case v == 0x0301:
		return "1.0"
	case v == 0x0302:
		return "1.1"
	case v == 0x0303:
		return "1.2"
	case v == 0x0304, v>>8 == 0x7f, v>>8 == 0x7e: // drafts
		return "1.3"
	}
	return ""
}

// cipherName is IANA's name for a cipher suite, or its number.
func cipherName(id uint16) string {
	switch id { // those of others that crypto/tls has no name for
	case 0x0016:
		return "TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA"
	case 0x0033:
		return "TLS_DHE_RSA_WITH_AES_128_CBC_SHA"
	case 0x0039:
		return "TLS_DHE_RSA_WITH_AES_256_CBC_SHA"
	case 0x003d:
		return "TLS_RSA_WITH_AES_256_CBC_SHA256"
	case 0x0067:
		return "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256"
	case 0x006b:
		return "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256"
	case 0x009e:
		return "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"
	case 0x009f:
		return "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384"
	case 0x1304:
		return "TLS_AES_128_CCM_SHA256"
	case 0x1305:
		return "TLS_AES_128_CCM_8_SHA256"
	case 0xc024:
		return "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384"
	case 0xc028:
		return "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384"
	case 0xccaa:
		return "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256"
	}
	if name := suites[id]; name != "" {
		return name
	}
	return stdtls.CipherSuiteName(id) // its number
}

// suites are the names that Go has; CipherSuiteName makes the list anew each
// time.
var suites = func() map[uint16]string {
	names := map[uint16]string{}
	for _, list := range [][]*stdtls.CipherSuite{stdtls.CipherSuites(), stdtls.InsecureCipherSuites()} {
		for _, s := range list {
			names[s.ID] = s.Name
		}
	}
	return names
}()

// alertName is the name of an alert (RFC 8446, 6), "" for numbers that are none.
func alertName(a byte) string {
	switch a {
	case 0:
		return "close_notify"
	case 10:
		return "unexpected_message"
	case 20:
		return "bad_record_mac"
	case 21:
		return "decryption_failed"
	case 22:
		return "record_overflow"
	case 30:
		return "decompression_failure"
	case 40:
		return "handshake_failure"
	case 41:
		return "no_certificate"
	case 42:
		return "bad_certificate"
	case 43:
		return "unsupported_certificate"
	case 44:
		return "certificate_revoked"
	case 45:
		return "certificate_expired"
	case 46:
		return "certificate_unknown"
	case 47:
		return "illegal_parameter"
	case 48:
		return "unknown_ca"
	case 49:
		return "access_denied"
	case 50:
		return "decode_error"
	case 51:
		return "decrypt_error"
	case 60:
		return "export_restriction"
	case 70:
		return "protocol_version"
	case 71:
		return "insufficient_security"
	case 80:
		return "internal_error"
	case 86:
		return "inappropriate_fallback"
	case 90:
		return "user_canceled"
	case 100:
		return "no_renegotiation"
	case 109:
		return "missing_extension"
	case 110:
		return "unsupported_extension"
	case 111:
		return "certificate_unobtainable"
	case 112:
		return "unrecognized_name"
	case 113:
		return "bad_certificate_status_response"
	case 115:
		return "unknown_psk_identity"
	case 116:
		return "certificate_required"
	case 120:
		return "no_application_protocol"
	}
	return ""
}
