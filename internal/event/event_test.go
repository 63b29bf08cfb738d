package event

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"testing"
)

// samples has one event of each kind with every field set.
func samples() []Event {
	h := func(k Kind) Head { return Head{Time: 1, Sock: 2, Pid: 3, Tid: 4, Cpu: 5, Kind: k} }
	data := Data{Pos: 1 << 40, Other: 7, Goid: 8, Parent: 9, Seq: 10, Wire: 100, Captured: 5, CapSeq: 11, LostSend: 12, LostRecv: 13,
		Dir: Recv, Role: RoleServer, Flags: Fault | HasPeer}
	var loss Loss
	for i := range loss.Calls {
		loss.Calls[i], loss.Turns[i] = uint64(i+1), uint64(100+i)
	}
	loss.Other = 3
	return []Event{
		{Head: h(KindOpen), Open: Open{Opened: 1, PeerSock: 2, Cgroup: 3, Local: [16]byte{127, 0, 0, 1}, Remote: [16]byte{15: 1},
			Comm: [16]byte{'n'}, Netns: 4, FirstSend: 5, FirstRecv: 6, PeerPid: 7, LocalPort: 80, RemotePort: 81,
			Family: IPv4, Transport: Stream, Role: RoleClient, Flags: Keyed}, Payload: []byte("/run/x.sock")},
		{Head: h(KindData), Data: data, Payload: []byte("GET /")},
		{Head: h(KindDatagram), Data: data, Peer: Peer{Addr: [16]byte{1, 2, 3, 4}, Port: 53, Family: IPv4}, Payload: []byte("dns..")},
		{Head: h(KindClose), Close: Close{Sent: 1, Received: 2, LostSend: 3, LostRecv: 4, What: Gone, Role: RoleClient}},
		{Head: h(KindExec), Proc: Proc{Cgroup: 1, Parent: 2, Netns: 3, Comm: [16]byte{'x'}}},
		{Head: h(KindExit), Proc: Proc{Cgroup: 1}},
		{Head: h(KindFork), Proc: Proc{Parent: 1}},
		{Head: h(KindLoss), Loss: loss},
		{Head: h(KindLost), Lost: Lost{At: [2]uint64{1, 2}, Calls: [2]uint32{3, 4}, Turns: [2]uint32{5, 6}, Role: RoleServer}},
		{Head: h(KindClock), Clock: Clock{Offset: -5}},
	}
}

func TestRoundTrip(t *testing.T) {
	for _, want := range samples() {
		raw := want.Append([]byte("front"))[5:]
		var got Event
		if err := Decode(raw, &got); err != nil {
			t.Errorf("%s: %v", want.Kind, err)
			continue
		}
		want.Size = uint32(len(raw))
		if want.Payload == nil {
			got.Payload = nil
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", want.Kind, got, want)
		}
		if PeekKind(raw) != want.Kind || PeekPid(raw) != want.Pid || PeekSock(raw) != want.Sock {
			t.Errorf("%s: peeks disagree", want.Kind)
		}
		for n := range raw { // every shorter record is refused
			if err := Decode(raw[:n], &got); !errors.Is(err, ErrShort) {
				t.Errorf("%s: %d of %d bytes: %v", want.Kind, n, len(raw), err)
			}
		}
	}
	e := Event{Head: Head{Kind: 200}}
	if err := Decode(e.Append(nil), &e); !errors.Is(err, ErrUnknown) {
		t.Errorf("unknown kind: %v", err)
	}
}

func TestRecording(t *testing.T) {
	var want [][]byte
	for _, e := range samples() {
		want = append(want, e.Append(nil))
	}
	var file bytes.Buffer
	w, err := NewWriter(&file, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range want {
		if full, err := w.Put(raw); full || err != nil {
			t.Fatal(full, err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	whole := file.Bytes()
	if !IsRecording(whole) {
		t.Error("a recording is not told as one")
	}
	read := func(b []byte) (n int, err error) {
		r, err := NewReader(bytes.NewReader(b))
		if err != nil {
			return 0, err
		}
		for {
			raw, err := r.Next()
			if err != nil {
				return n, err
			}
			if !bytes.Equal(raw, want[n]) {
				t.Fatalf("record %d: %x, want %x", n, raw, want[n])
			}
			n++
		}
	}
	if n, err := read(whole); n != len(want) || !errors.Is(err, io.EOF) {
		t.Errorf("%d records, %v", n, err)
	}
	for cut := range whole { // what is good before a cut is read
		n, err := read(whole[:cut])
		if err == nil || n > len(want) {
			t.Fatalf("cut at %d: %d records, %v", cut, n, err)
		}
	}
	if _, err := NewReader(bytes.NewReader([]byte("something else, long enough"))); !errors.Is(err, ErrNotRecording) {
		t.Error(err)
	}
	older := bytes.Clone(whole)
	older[8]++
	if _, err := NewReader(bytes.NewReader(older)); err == nil || errors.Is(err, ErrNotRecording) {
		t.Errorf("another version: %v", err)
	}
}

func TestRecordingLimit(t *testing.T) {
	var file bytes.Buffer
	e := samples()[1]
	raw := e.Append(nil)
	limit := int64(recordingHead + 3*len(raw) + 1)
	w, err := NewWriter(&file, limit)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if full, err := w.Put(raw); full != (i >= 3) || err != nil {
			t.Errorf("record %d: full %v, %v", i, full, err)
		}
	}
	// A smaller one would fit, but a recording has no holes.
	c := samples()[8]
	if full, _ := w.Put(c.Append(nil)[:1]); !full {
		t.Error("a record after one that was cut")
	}
	_ = w.Flush()
	if n, cut := w.Counts(); n != 3 || cut != 3 || int64(file.Len()) > limit {
		t.Errorf("%d written, %d cut, %d bytes", n, cut, file.Len())
	}
}

func FuzzDecode(f *testing.F) {
	for _, e := range samples() {
		f.Add(e.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var e Event
		if Decode(b, &e) != nil {
			return
		}
		if len(e.Payload) > len(b) || e.Data.Dir > 1 || e.Data.Role > RoleServer && e.Kind == KindData {
			t.Fatalf("%+v of %d bytes", e, len(b))
		}
		// What was understood is written and understood the same again.
		var again Event
		if err := Decode(e.Append(nil), &again); err != nil || again.Kind != e.Kind || !bytes.Equal(again.Payload, e.Payload) {
			t.Fatalf("again: %v\n%+v\n%+v", err, e, again)
		}
	})
}

func FuzzReader(f *testing.F) {
	var file bytes.Buffer
	w, _ := NewWriter(&file, 0)
	for _, e := range samples() {
		_, _ = w.Put(e.Append(nil))
	}
	_ = w.Flush()
	f.Add(file.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := NewReader(bytes.NewReader(b))
		if err != nil {
			return
		}
		for n := 0; ; n += HeadSize {
			if _, err := r.Next(); err != nil {
				return
			}
			if n > len(b) {
				t.Fatal("more records than bytes")
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	e := samples()[1]
	e.Payload = make([]byte, 200)
	for i := range e.Payload {
		e.Payload[i] = byte(rand.Uint32())
	}
	raw := e.Append(nil)
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if err := Decode(raw, &e); err != nil {
			b.Fatal(err)
		}
	}
}
