// Package corpus gives tests the captures of real agents, and what is known to
// be in them.
package corpus

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/hopscope/hopscope/internal/packet"
	"github.com/hopscope/hopscope/internal/stream"
	"github.com/hopscope/hopscope/receiver/pinpointreceiver/internal/calls"
)

// Dir finds the captures: HOPSCOPE_CORPUS, else ../shared/corpus beside the
// repository.
func Dir(t testing.TB) string {
	if dir := os.Getenv("HOPSCOPE_CORPUS"); dir != "" {
		return filepath.Join(dir, "pinpoint")
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for dir != "/" {
		dir = filepath.Dir(dir)
		if c := filepath.Join(dir, "shared", "corpus", "pinpoint"); exists(c) {
			return c
		}
	}
	t.Skip("no corpus: neither HOPSCOPE_CORPUS nor ../shared/corpus is there")
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Line is one line of truth.jsonl.
type Line struct {
	Ev, Remote, Path, Dir, Sha256 string
	Type                          string
	JSON                          json.RawMessage
	Len, Conn, Ordinal            int
	Metadata                      map[string][]string
}

// Read reads the truth of a capture.
func Read(t testing.TB, path string) (out []Line) {
	var r io.Reader
	f, err := os.Open(path)
	if err != nil {
		if f, err = os.Open(path + ".gz"); err != nil {
			t.Fatal(err)
		}
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	} else {
		r = f
	}
	defer f.Close()
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 64<<20)
	for sc.Scan() {
		var l Line
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		out = append(out, l)
	}
	return out
}

// Sniff reads the messages of a capture.
func Sniff(t testing.TB, path string, next func(*calls.Message)) *calls.Sniffer {
	if !exists(path) {
		path += ".gz"
	}
	f, err := packet.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := calls.New([]uint16{9991, 9992, 9993}, next)
	asm := stream.NewAssembler(stream.AssemblerConfig{HoleWait: calls.HoleWait, HoleSegments: calls.HoleSegments}, s.Put)
	var d packet.Decoder
	var fr packet.Frame
	var seg packet.Segment
	for {
		err := f.Next(&fr)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if d.Decode(&fr, &seg) == packet.OK {
			asm.Put(&seg)
		}
		asm.Tick(fr.Time)
	}
	asm.Flush()
	return s
}
