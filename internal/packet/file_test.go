package packet

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"testing"
)

// record is one packet of a file that a test makes.
type record struct {
	sec, ns int64
	data    []byte
	wire    int
}

func pcapFile(o binary.AppendByteOrder, magic uint32, link Link, rs ...record) []byte {
	b := o.AppendUint32(nil, magic)
	b = o.AppendUint16(b, 2)
	b = o.AppendUint16(b, 4)
	b = append(b, make([]byte, 8)...)
	b = o.AppendUint32(b, 65535)
	b = o.AppendUint32(b, uint32(link))
	for _, r := range rs {
		b = o.AppendUint32(b, uint32(r.sec))
		sub := r.ns
		if magic != pcapNano {
			sub /= 1000
		}
		b = o.AppendUint32(b, uint32(sub))
		b = o.AppendUint32(b, uint32(len(r.data)))
		b = o.AppendUint32(b, uint32(r.wire))
		if magic == pcapModified {
			b = append(b, 1, 2, 3, 4, 5, 6, 7, 8)
		}
		b = append(b, r.data...)
	}
	return b
}

func block(o binary.AppendByteOrder, kind uint32, body []byte) []byte {
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	n := uint32(len(body) + 12)
	b := o.AppendUint32(nil, kind)
	b = o.AppendUint32(b, n)
	b = append(b, body...)
	return o.AppendUint32(b, n)
}

func option(o binary.AppendByteOrder, code uint16, v []byte) []byte {
	b := o.AppendUint16(nil, code)
	b = o.AppendUint16(b, uint16(len(v)))
	b = append(b, v...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// pcapngFile has two interfaces: eth0 in microseconds, lo in nanoseconds with
// an offset of 1000 s; records alternate.
func pcapngFile(o binary.AppendByteOrder, rs ...record) []byte {
	body := o.AppendUint32(nil, ngMagic)
	body = append(body, 1, 0, 0, 0)
	body = append(body, bytes.Repeat([]byte{0xff}, 8)...)
	b := block(o, ngSection, body)
	body = o.AppendUint16(nil, uint16(LinkEthernet))
	body = append(body, 0, 0, 0, 0, 0, 0)
	body = append(body, option(o, 2, []byte("eth0"))...)
	b = append(b, block(o, ngInterface, body)...)
	body = o.AppendUint16(nil, uint16(LinkRaw))
	body = append(body, 0, 0, 0, 0, 0, 0)
	body = append(body, option(o, 2, []byte("lo"))...)
	body = append(body, option(o, 9, []byte{9})...)
	body = append(body, option(o, 14, o.AppendUint64(nil, 1000))...)
	b = append(b, block(o, ngInterface, body)...)
	b = append(b, block(o, 4, []byte("names, which nobody reads"))...)
	for i, r := range rs {
		t := r.sec*1e6 + r.ns/1e3
		if i%2 == 1 {
			t = (r.sec-1000)*1e9 + r.ns
		}
		body = o.AppendUint32(nil, uint32(i%2))
		body = o.AppendUint32(body, uint32(t>>32))
		body = o.AppendUint32(body, uint32(t))
		body = o.AppendUint32(body, uint32(len(r.data)))
		body = o.AppendUint32(body, uint32(r.wire))
		body = append(body, r.data...)
		for len(body)%4 != 0 {
			body = append(body, 0)
		}
		body = append(body, option(o, 2, o.AppendUint32(nil, 2))...)
		b = append(b, block(o, ngEnhanced, body)...)
	}
	return b
}

func gz(b []byte) []byte {
	var w bytes.Buffer
	z := gzip.NewWriter(&w)
	z.Write(b)
	z.Close()
	return w.Bytes()
}

func TestFormats(t *testing.T) {
	rs := []record{
		{1700000000, 123456789, []byte("first frame"), 11},
		{1700000001, 999999999, []byte("second"), 1500},
		{1700000002, 0, []byte("x"), 1},
	}
	le, be := binary.LittleEndian, binary.BigEndian
	for name, c := range map[string]struct {
		b    []byte
		nano bool
	}{
		"pcap":             {pcapFile(le, pcapMicro, LinkEthernet, rs...), false},
		"pcap big endian":  {pcapFile(be, pcapMicro, LinkEthernet, rs...), false},
		"pcap nano":        {pcapFile(le, pcapNano, LinkEthernet, rs...), true},
		"pcap nano, big":   {pcapFile(be, pcapNano, LinkEthernet, rs...), true},
		"pcap modified":    {pcapFile(le, pcapModified, LinkEthernet, rs...), false},
		"pcap gz":          {gz(pcapFile(le, pcapMicro, LinkEthernet, rs...)), false},
		"pcapng":           {pcapngFile(le, rs...), false},
		"pcapng big":       {pcapngFile(be, rs...), false},
		"pcapng gz":        {gz(pcapngFile(be, rs...)), false},
		"pcapng sections":  {append(pcapngFile(le, rs[:2]...), pcapngFile(be, rs[2:]...)...), false},
		"pcap gz in parts": {append(gz(pcapFile(le, pcapMicro, LinkEthernet, rs[:2]...)), gz(pcapFile(le, pcapMicro, LinkEthernet, rs[2:]...)[24:])...), false},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := NewFile(bytes.NewReader(c.b), name)
			if err != nil {
				t.Fatal(err)
			}
			ng := bytes.HasPrefix([]byte(name), []byte("pcapng"))
			var fr Frame
			for i, r := range rs {
				if err := f.Next(&fr); err != nil {
					t.Fatalf("record %d: %v", i, err)
				}
				want := r.sec*1e9 + r.ns
				if exact := c.nano || (ng && fr.Iface == 1); !exact {
					want = want / 1000 * 1000
				}
				if fr.Time != want || string(fr.Data) != string(r.data) || int(fr.Wire) != r.wire {
					t.Errorf("record %d: time %d want %d, %q of %d", i, fr.Time, want, fr.Data, fr.Wire)
				}
				if ng && (fr.Way != WayOut || f.Interface(fr.Iface).Name != [...]string{"eth0", "lo"}[fr.Iface]) {
					t.Errorf("record %d: way %d interface %+v", i, fr.Way, f.Interface(fr.Iface))
				}
			}
			if err := f.Next(&fr); err != io.EOF {
				t.Errorf("at the end: %v", err)
			}
		})
	}
}

// A file cut anywhere gives what lies before the cut, and says that it is cut.
func TestCutFile(t *testing.T) {
	rs := []record{{1, 0, []byte("first frame"), 11}, {2, 0, []byte("second"), 6}}
	for _, whole := range [][]byte{pcapFile(binary.LittleEndian, pcapMicro, LinkEthernet, rs...), pcapngFile(binary.BigEndian, rs...)} {
		for n := range whole {
			f, err := NewFile(bytes.NewReader(whole[:n]), "")
			if err != nil {
				continue
			}
			var fr Frame
			got := 0
			for err = f.Next(&fr); err == nil; err = f.Next(&fr) {
				if string(fr.Data) != string(rs[got].data) {
					t.Fatalf("cut at %d: %q", n, fr.Data)
				}
				got++
			}
			if err != io.EOF && err != io.ErrUnexpectedEOF {
				t.Fatalf("cut at %d of %d: %v", n, len(whole), err)
			}
		}
	}
}

func FuzzFile(f *testing.F) {
	rs := []record{{1, 0, []byte("first frame"), 11}, {2, 0, []byte("second"), 6}}
	f.Add(pcapFile(binary.LittleEndian, pcapMicro, LinkEthernet, rs...))
	f.Add(pcapFile(binary.BigEndian, pcapModified, LinkSLL, rs...))
	f.Add(pcapngFile(binary.LittleEndian, rs...))
	f.Add(gz(pcapngFile(binary.BigEndian, rs...)))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := NewFile(bytes.NewReader(b), "")
		if err != nil {
			return
		}
		var d Decoder
		var fr Frame
		var s Segment
		for i := 0; i < 1000 && r.Next(&fr) == nil; i++ {
			d.Decode(&fr, &s)
		}
	})
}
