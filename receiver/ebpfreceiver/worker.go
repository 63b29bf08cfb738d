package ebpfreceiver

import (
	"encoding/binary"
	"sync"
)

// worker runs one shard in a goroutine of its own. Records reach it in blocks.
type worker struct {
	shard *shard
	ch    chan []byte // blocks of records
	free  chan []byte

	mu    sync.Mutex // block: the reader fills it, the clock hands it over
	block []byte
}

const (
	// blockSize is how much is copied before it is handed over: some 50 events.
	blockSize = 32 << 10
	// blocks is how many may wait: with blockSize, what a worker may be behind.
	blocks = 32
)

func newWorker(s *shard) *worker {
	return &worker{shard: s, ch: make(chan []byte, blocks), free: make(chan []byte, blocks+2)}
}

// put copies a record into the block.
func (w *worker) put(raw []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.block)+4+len(raw) > blockSize && len(w.block) > 0 {
		w.send()
	}
	if w.block == nil {
		select {
		case w.block = <-w.free:
		default:
			w.block = make([]byte, 0, blockSize)
		}
	}
	w.block = binary.LittleEndian.AppendUint32(w.block, uint32(len(raw)))
	w.block = append(w.block, raw...)
}

// hand hands over what there is.
func (w *worker) hand() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.block) > 0 {
		w.send()
	}
}

func (w *worker) send() {
	w.ch <- w.block
	w.block = nil
}

func (w *worker) close() {
	w.hand()
	close(w.ch)
}

func (w *worker) run() {
	for b := range w.ch {
		for rest := b; len(rest) > 0; {
			n := int(binary.LittleEndian.Uint32(rest))
			w.shard.put(rest[4 : 4+n])
			rest = rest[4+n:]
		}
		w.shard.idle()
		select {
		case w.free <- b[:0]:
		default:
		}
	}
}
