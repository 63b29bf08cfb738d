package cause

import "github.com/hopscope/hopscope/internal/stream"

// task is a thread, or a goroutine: what does one thing after another.
type task struct {
	proc *proc
	gone bool // forgotten, or its process is gone
	// open are the inbound exchanges whose requests it read, not answered yet.
	open []*record
	// last is the exchange of the last message that it read, and whether that was
	// the answer of an outbound one.
	last       *record
	lastAnswer bool
	lastTime   int64
	// mixed: it read messages of several requests before it did anything about
	// them, as loops do that collect what is ready first. What it does next may
	// be about any of them. acted: it did something since it last read.
	mixed, acted bool
	of           *record // what it read last is about, as far as was known then
	flight       int     // outbound exchanges that it began and that are not answered
	// queue, from head on, is what it has read and not acted on.
	queue []unacted
	head  int
	// loops: it was seen to do something else while a call of its own was under
	// way, as event loops do. What it did last then says less.
	loops bool
	// handed are outbound exchanges of requests that another thread read.
	handed  []*record
	syscall uint64  // the syscall trace id in force
	met     bool    // not for the first time
	serves  *record // the inbound exchange that a goroutine was started for
	sure    bool    // its own library said so
	used    int64
}

type taskKey struct {
	pid uint32
	id  uint64
}

// lastUser is who used a connection last: mostly who uses it now.
type lastUser struct {
	key  taskKey
	task *task
}

// userOf is taskOf for one who uses c.
func (t *Tracker) userOf(c *stream.Conn, ctx *stream.Ctx, now int64) *task {
	u, _ := c.Track.(*lastUser)
	k := keyOf(ctx)
	if u == nil {
		u = &lastUser{}
		c.Track = u
	} else if u.key == k && !u.task.gone && !u.task.proc.gone {
		u.task.used, u.task.met = now, true
		return u.task
	}
	u.key, u.task = k, t.taskOf(ctx, now)
	return u.task
}

func keyOf(ctx *stream.Ctx) taskKey {
	if ctx.Goid != 0 {
		return taskKey{pid: ctx.Pid, id: ctx.Goid | 1<<63}
	}
	return taskKey{pid: ctx.Pid, id: uint64(ctx.Tid)}
}

// taskOf is the thread or goroutine of ctx.
func (t *Tracker) taskOf(ctx *stream.Ctx, now int64) *task {
	k := keyOf(ctx)
	if t.lastTask != nil && t.lastKey == k {
		t.lastTask.used, t.lastTask.met = now, true
		return t.lastTask
	}
	a := t.tasks[k]
	if a != nil && !a.proc.gone {
		a.met = true
	} else {
		if len(t.tasks) >= maxTasks {
			t.forgetTasks(now)
		}
		p := t.procs[ctx.Pid]
		if p == nil {
			p = &proc{births: map[uint64]birth{}, wanted: map[uint64]*record{}, golang: t.cfg.Golang != nil && t.cfg.Golang(ctx.Pid)}
			t.procs[ctx.Pid] = p
		}
		a = &task{proc: p}
		t.tasks[k] = a
	}
	a.used = now
	if ctx.Goid != 0 {
		a.proc.golang = true
	}
	t.lastKey, t.lastTask = k, a
	return a
}

// forgetTasks makes room: those that were idle for a minute go, or else all.
func (t *Tracker) forgetTasks(now int64) {
	t.lastTask = nil
	for k, a := range t.tasks {
		if now-a.used > 60e9 || a.proc.gone {
			a.gone = true
			delete(t.tasks, k)
		}
	}
	if len(t.tasks) >= maxTasks*3/4 {
		t.stats.TasksFull.Add(1)
		for _, a := range t.tasks {
			a.gone = true
		}
		clear(t.tasks)
	}
	seen := map[uint32]bool{}
	for k := range t.tasks {
		seen[k.pid] = true
	}
	for pid := range t.procs {
		if !seen[pid] {
			delete(t.procs, pid)
		}
	}
}
