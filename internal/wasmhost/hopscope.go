package wasmhost

import (
	"encoding/binary"
	"math"
)

// Span is what a plugin of our own ABI sees of an exchange. Both methods take
// names of attributes as the span has them, and the names that docs/plugin-abi.md
// lists for the rest of the span.
type Span interface {
	// Get is a value as text.
	Get(key string) (string, bool)
	// Set takes string, int64, float64 or bool. False: it may not be set.
	Set(key string, value any) bool
	// Payload is the head of the request (ToServer) or the response.
	Payload(Direction) []byte
}

// Parts is a Span whose payload is what one end of a connection said, in which a
// plugin finds messages. What is set then is said of the message found last.
type Parts interface {
	Span
	// Found notes a message that follows the one before it; it may be longer than
	// the payload. False: it is one too many, or makes no sense.
	Found(kind PartKind, length uint32, id string) bool
}

// PartKind is what a message is to its exchange.
type PartKind uint32

// The kinds of message.
const (
	PartRequest PartKind = iota
	PartResponse
	PartOneWay
	partKinds
)

// Errno is what calls of the module "hopscope" return below zero.
type Errno int32

// The errors. A call with a bad pointer also fails the whole hook.
const (
	ENoEnt  Errno = -1 // there is no such thing
	EFault  Errno = -2 // a pointer is outside the memory
	ETooBig Errno = -3 // a length is over the limit
	EPerm   Errno = -4 // it may not be changed
	EInval  Errno = -5 // a number has no meaning
)

// Limits of our own ABI.
const (
	maxKey   = 256
	maxValue = 16 << 10
	maxState = 4 << 10
)

// Value types of attr_set.
const (
	typeString = iota
	typeInt
	typeDouble
	typeBool
)

func (e Errno) result() uint64 { return i32(int(e)) }

// Calls is the module "hopscope". docs/plugin-abi.md is compared with it.
func Calls() []Call {
	const size = "size of the value, or an error; it is written if it fits"
	return []Call{
		{"log", "level ptr len", "0 or an error", func(in *Instance, a []uint64) uint64 {
			in.crossing()
			b := in.bytes(a[1], a[2])
			if b == nil {
				return EFault.result()
			}
			in.log(int(uint32(a[0])), b)
			return 0
		}},
		{"setting_get", "key_ptr key_len ptr len", size, func(in *Instance, a []uint64) uint64 {
			key, e := in.key(a)
			if e != 0 {
				return e.result()
			}
			v, ok := in.plugin.cfg.Settings[key]
			return in.give(v, ok, a[2], a[3])
		}},
		{"attr_get", "key_ptr key_len ptr len", size, func(in *Instance, a []uint64) uint64 {
			key, e := in.key(a)
			if e != 0 {
				return e.result()
			}
			if in.call == nil || in.call.Span == nil {
				return ENoEnt.result()
			}
			v, ok := in.call.Span.Get(key)
			return in.give(v, ok, a[2], a[3])
		}},
		{"attr_set", "key_ptr key_len type ptr len", "0 or an error", attrSet},
		{"payload", "side offset ptr len", "bytes written, or an error", func(in *Instance, a []uint64) uint64 {
			in.crossing()
			b := in.bytes(a[2], a[3])
			if b == nil {
				return EFault.result()
			}
			if in.call == nil || in.call.Span == nil {
				return ENoEnt.result()
			}
			if a[0] > 1 {
				return EInval.result()
			}
			p := in.call.Span.Payload(Direction(a[0]))
			return i32(copy(b, p[min(uint64(len(p)), a[1]):]))
		}},
		{"side", "", "0 or 1: who sent the payload of check_payload and parse_payload", func(in *Instance, _ []uint64) uint64 {
			in.crossing()
			if in.call == nil {
				return ENoEnt.result()
			}
			return uint64(in.call.Ctx.Direction)
		}},
		{"message", "kind length id_ptr id_len", "0 or an error", func(in *Instance, a []uint64) uint64 {
			in.crossing()
			if a[3] > maxKey {
				return ETooBig.result()
			}
			id := in.bytes(a[2], a[3])
			if id == nil {
				return EFault.result()
			}
			if a[0] >= uint64(partKinds) {
				return EInval.result()
			}
			if in.call == nil {
				return EPerm.result()
			}
			p, ok := in.call.Span.(Parts)
			if !ok || !p.Found(PartKind(a[0]), uint32(a[1]), text(id)) {
				return EPerm.result()
			}
			return 0
		}},
		{"state_get", "ptr len", size, func(in *Instance, a []uint64) uint64 {
			in.crossing()
			b := in.bytes(a[0], a[1])
			switch {
			case b == nil:
				return EFault.result()
			case in.call == nil || in.call.State == nil:
				return ENoEnt.result()
			case len(in.call.State) <= len(b):
				copy(b, in.call.State)
			}
			return i32(len(in.call.State))
		}},
		{"state_set", "ptr len", "0 or an error", func(in *Instance, a []uint64) uint64 {
			in.crossing()
			if a[1] > maxState {
				return ETooBig.result()
			}
			b := in.bytes(a[0], a[1])
			switch {
			case b == nil:
				return EFault.result()
			case in.call == nil || in.call.State == nil:
				return ENoEnt.result()
			}
			in.call.State, in.call.StateSet = append([]byte{}, b...), true
			return 0
		}},
	}
}

func (in *Instance) key(a []uint64) (string, Errno) {
	in.crossing()
	if a[1] > maxKey {
		return "", ETooBig
	}
	b := in.bytes(a[0], a[1])
	if b == nil {
		return "", EFault
	}
	if k, ok := in.keys[string(b)]; ok {
		return k, 0
	}
	k := text(b)
	if in.keys == nil {
		in.keys = map[string]string{}
	}
	if k == string(b) && len(in.keys) < maxKeys {
		in.keys[k] = k
	}
	return k, 0
}

// maxKeys bounds the names that an instance need not copy again: a plugin has a
// few.
const maxKeys = 64

// give writes v if it fits, and says how long it is.
func (in *Instance) give(v string, ok bool, ptr, n uint64) uint64 {
	b := in.bytes(ptr, n)
	switch {
	case b == nil:
		return EFault.result()
	case !ok:
		return ENoEnt.result()
	case len(v) <= len(b):
		copy(b, v)
	}
	return i32(len(v))
}

func attrSet(in *Instance, a []uint64) uint64 {
	key, e := in.key(a)
	if e != 0 {
		return e.result()
	}
	if a[4] > maxValue {
		return ETooBig.result()
	}
	b := in.bytes(a[3], a[4])
	if b == nil {
		return EFault.result()
	}
	var v any
	switch {
	case a[2] == typeString:
		v = text(b)
	case a[2] == typeInt && len(b) == 8:
		v = int64(binary.LittleEndian.Uint64(b))
	case a[2] == typeDouble && len(b) == 8:
		v = math.Float64frombits(binary.LittleEndian.Uint64(b))
	case a[2] == typeBool && len(b) == 1 && b[0] <= 1:
		v = b[0] == 1
	default:
		return EInval.result()
	}
	if in.call == nil || in.call.Span == nil || !in.call.Span.Set(key, v) {
		return EPerm.result()
	}
	return 0
}
