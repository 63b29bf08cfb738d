package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/hopscope/hopscope/test/rig"
)

// agent is what rounds are measured with: a build of ours, or a peer.
type agent struct {
	name string
	// start gives it when it is ready for load; its files are in dir. Only builds of
	// ours take the configuration.
	start func(dir, config string) (running, error)
}

// running is an agent that runs; the zero value is none.
type running struct {
	*rig.Process
	// told is where a build of ours says what it made and lost; nil with a peer.
	told *rig.Collector
}

// alive is an error once the agent has ended: a round without it is no round with it.
func (r running) alive() error {
	select {
	case <-r.Ended():
		return fmt.Errorf("%s ended: %v\n%s", r.Name, r.Err(), r.Log().Tail(4000))
	default:
		return nil
	}
}

// starting is how long a build of ours gets to read /proc, give back what loading
// took, and settle: starting is not what is measured.
const starting = 2500 * time.Millisecond

// distribution is a build of ours.
func distribution(bin string, p *profiles) agent {
	return agent{filepath.Base(bin), func(dir, config string) (running, error) {
		c, err := rig.StartCollector(bin, dir, config, p.config()...)
		if err != nil {
			return running{}, err
		}
		return settled(running{c.Process, c}, starting)
	}}
}

// peer is another agent, a command line split at spaces. It is one process: a
// script that starts one ends with exec.
func peer(command string, start time.Duration) (agent, error) {
	args := strings.Fields(command)
	if len(args) == 0 {
		return agent{}, errors.New("-peer: no command")
	}
	path, err := rig.Look(args[0])
	if err != nil {
		return agent{}, fmt.Errorf("-peer: %w", err)
	}
	// It is started in another folder.
	if path, err = filepath.Abs(path); err != nil {
		return agent{}, err
	}
	return agent{filepath.Base(path), func(dir, _ string) (running, error) {
		p, err := rig.StartIn(dir, nil, path, args[1:]...)
		if err != nil {
			return running{}, err
		}
		return settled(running{Process: p}, start)
	}}, nil
}

// settled waits, and has the highest memory begin anew.
func settled(r running, wait time.Duration) (running, error) {
	select {
	case <-r.Ended():
		return running{}, r.alive()
	case <-time.After(wait):
	}
	if err := rig.ForgetRSS(r.PID()); err != nil {
		return running{}, errors.Join(err, r.Stop())
	}
	return r, nil
}
