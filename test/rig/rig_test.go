package rig

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

func TestSum(t *testing.T) {
	text := []byte(`# TYPE a counter
a{x="1",y="2"} 3
a{x="1",y="3"} 4e1
ab{x="1"} 100
a 1000
`)
	for _, c := range []struct {
		metric string
		want   []string
		sum    float64
	}{
		{"a", nil, 1043},
		{"a", []string{`x="1"`}, 43},
		{"a", []string{`x="1"`, `y="3"`}, 40},
		{"none", nil, 0},
	} {
		if got := Sum(text, c.metric, c.want...); got != c.sum {
			t.Errorf("%s%v: %v, want %v", c.metric, c.want, got, c.sum)
		}
	}
}

func TestProcess(t *testing.T) {
	p, err := Start("sh", "-c", "echo up; exec sleep 60")
	if err != nil {
		t.Fatal(err)
	}
	up := func() error {
		if !strings.Contains(p.Log().String(), "up") {
			return errors.New("says nothing")
		}
		return nil
	}
	if err := p.Until(10*time.Second, up); err != nil {
		t.Fatal(err)
	}
	if _, err := CPU(p.PID()); err != nil {
		t.Error(err)
	}
	if now, high, err := RSS(p.PID()); err != nil || now == 0 || high < now {
		t.Errorf("RSS %d, highest %d, %v", now, high, err)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if err := p.Stop(); err != nil {
		t.Errorf("stopped twice: %v", err)
	}
}

func TestUntilSeesTheEnd(t *testing.T) {
	p, err := Start("sh", "-c", "echo cannot; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	err = p.Until(time.Minute, func() error { return errors.New("not yet") })
	if err == nil || !strings.Contains(err.Error(), "cannot") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("got %v", err)
	}
}

func TestCPUOfSelf(t *testing.T) {
	before, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for i, x := 0, 0; i < 1e8; i++ {
		x += i * x
	}
	after, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if after <= before {
		t.Errorf("%v, then %v after work", before, after)
	}
}
