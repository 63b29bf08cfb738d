package wasmhost

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
)

// Hook is a function that plugins export.
type Hook int

// The hooks: DeepFlow's, then ours.
const (
	OnHTTPRequest Hook = iota
	OnHTTPResponse
	CheckPayload
	ParsePayload
	OnCustomMessage
	OnSpan
	HookCount // how many there are
)

var hookNames = [HookCount]string{"on_http_req", "on_http_resp", "check_payload", "parse_payload", "on_custom_message", "on_span"}

// String is the name of the export.
func (h Hook) String() string { return hookNames[h] }

// Version is the newest version of our own ABI.
const Version = 1

// Bits of what the optional export "hooks" gives: a module made by an SDK exports
// everything.
const (
	hookSpan    = 1
	hookPayload = 2
)

// readHooks asks the guest what it wants.
func (in *Instance) readHooks() error {
	if f := in.mod.ExportedFunction("abi_version"); f != nil {
		v, err := in.once("abi_version", f)
		if err != nil {
			return err
		}
		if in.hooks.Version = uint32(v); in.hooks.Version < 1 || in.hooks.Version > Version {
			return fmt.Errorf("abi_version is %d, this host speaks 1 to %d", in.hooks.Version, Version)
		}
		mean := uint64(hookSpan | hookPayload)
		if f := in.mod.ExportedFunction("hooks"); f != nil {
			if mean, err = in.once("hooks", f); err != nil {
				return err
			}
		}
		in.hooks.Span = mean&hookSpan != 0 && in.fn[OnSpan] != nil
		in.hooks.Check = mean&hookPayload != 0 && in.fn[CheckPayload] != nil && in.fn[ParsePayload] != nil
		in.hooks.Payload = in.hooks.Check
		in.hooks.Affinity = in.mod.ExportedFunction("flow_affinity") != nil
		if !in.hooks.Span && !in.hooks.Check {
			return errors.New("exports abi_version, but neither on_span nor check_payload and parse_payload")
		}
		return nil
	}
	f := in.mod.ExportedFunction("get_hook_bitmap")
	if f == nil {
		return errors.New("exports neither abi_version nor get_hook_bitmap: not a plugin")
	}
	b, err := in.pointed("get_hook_bitmap", 16)
	if err != nil {
		return err
	}
	top := b[0]
	in.hooks.HTTPRequest = top&0x80 != 0 && in.fn[OnHTTPRequest] != nil
	in.hooks.HTTPResponse = top&0x40 != 0 && in.fn[OnHTTPResponse] != nil
	in.hooks.Custom = top&0x20 != 0 && in.fn[OnCustomMessage] != nil
	in.hooks.Payload = b[15]&1 != 0 && in.fn[CheckPayload] != nil && in.fn[ParsePayload] != nil
	// DeepFlow keeps a flow on one thread, which has its own instance: plugins may
	// rely on it.
	in.hooks.Affinity = in.hooks.Payload
	if !in.hooks.Custom || in.mod.ExportedFunction("get_custom_message_hook") == nil {
		in.hooks.Custom = false
		return nil
	}
	if b, err = in.pointed("get_custom_message_hook", 8); err != nil {
		return err
	}
	v := binary.BigEndian.Uint64(b)
	in.hooks.Custom = v != 0
	in.hooks.CustomAll = v>>48 != 0
	in.hooks.CustomPoint, in.hooks.CustomType = uint16(v>>32), uint32(v)
	return nil
}

// pointed calls a function that returns a pointer to n bytes; zeros for null.
func (in *Instance) pointed(name string, n uint32) ([]byte, error) {
	ptr, err := in.once(name, in.mod.ExportedFunction(name))
	if err != nil {
		return nil, err
	}
	if uint32(ptr) == 0 {
		return make([]byte, n), nil
	}
	b, ok := in.mem.Read(uint32(ptr), n)
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, ErrPointer)
	}
	return append([]byte(nil), b...), nil
}

// Message is one call: what the plugin may read, and what it answered.
type Message struct {
	Ctx     ParseCtx
	Payload []byte
	Req     *HTTPRequest
	Resp    *HTTPResponse
	Custom  *CustomMessage
	// Span is what our own ABI reads and changes; nil: nothing.
	Span Span
	// State is what the plugin remembers of the flow, StateSet that it changed.
	// Nil: it can remember nothing.
	State    []byte
	StateSet bool

	Infos []Info
	Name  string // of the protocol, by CheckPayload
	// Number and Dir: what CheckPayload found. Number 0: not this plugin's. DirSaid:
	// it told who speaks, which plugins before 2025-12 did not.
	Number  uint8
	Dir     Direction
	DirSaid bool
	// Stop: no further plugin is to be asked.
	Stop bool
}

// Do calls a hook of the instance. After an error m has no results, and the
// instance is to be closed if it is Dead.
func (in *Instance) Do(h Hook, m *Message) error {
	f := in.fn[h]
	if f == nil {
		return nil
	}
	m.Infos, m.Name, m.Number, m.Stop, m.StateSet = nil, "", 0, false, false
	in.call = m
	in.stack[0] = 0
	err := in.bounded(in.plugin.cfg.Limits.Call, func(ctx context.Context) error { return f.CallWithStack(ctx, in.stack[:]) })
	in.call = nil
	if err == nil {
		err = m.answered(h, uint32(in.stack[0]))
	}
	if err != nil {
		m.Infos, m.Name, m.Number, m.Stop, m.StateSet = nil, "", 0, false, false
	}
	return err
}

// answered reads the number that a hook returned.
func (m *Message) answered(h Hook, v uint32) error {
	if h == CheckPayload {
		dir := v >> 8
		if dir > 2 {
			return ErrAction
		}
		if m.Number = uint8(v); m.Number == 0 {
			m.Name = ""
			return nil
		}
		m.Dir, m.DirSaid = ToServer, dir != 0
		if dir == 2 {
			m.Dir = ToClient
		}
		return nil
	}
	switch v {
	case 0:
		m.Infos = nil // "next": a result counts only with "abort"
	case 1:
		m.Stop = true
	default:
		return ErrAction
	}
	return nil
}
