package kernel

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestBareReader reads the ring and does nothing, until a signal: what capture
// alone costs. Started by hand: HOPSCOPE_BARE_READER=1 go test -run BareReader -v
func TestBareReader(t *testing.T) {
	if os.Getenv("HOPSCOPE_BARE_READER") == "" {
		t.Skip("started by hand: HOPSCOPE_BARE_READER is not set")
	}
	c, err := Start(Config{Rows: rowsFromEnv(), RingBytes: ringFromEnv()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ids := ""
	for _, p := range c.progs {
		if info, err := p.Info(); err == nil {
			if id, ok := info.ID(); ok {
				ids += fmt.Sprint(id, " ")
			}
		}
	}
	fmt.Println("programs", ids)
	var before, ru unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &before)
	var sum uint64
	if err := c.Run(ctx, func(raw []byte) { sum += uint64(raw[30]) }, func() {}); err != nil {
		t.Fatal(err)
	}
	_ = unix.Getrusage(unix.RUSAGE_SELF, &ru)
	s := c.Stats()
	cpu := float64(ru.Utime.Nano()+ru.Stime.Nano()-before.Utime.Nano()-before.Stime.Nano()) / 1e9
	t.Logf("events %d bytes %d wakes %d lost %v missed %d errors %v cpu %.3fs: %.0f ns an event, rss %d KiB",
		s.Events, s.Bytes, s.Wakes, s.LostCalls, s.Missed, s.Errors, cpu, cpu*1e9/float64(max(s.Events, 1)), ru.Maxrss)
}

func rowsFromEnv() []string {
	if r := os.Getenv("HOPSCOPE_ROW"); r != "" {
		return []string{r}
	}
	return nil
}
