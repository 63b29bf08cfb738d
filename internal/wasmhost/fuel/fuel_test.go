package fuel

import (
	"context"
	"os"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// FuzzInject: what is a module stays one, what is none never panics.
func FuzzInject(f *testing.F) {
	wasm, err := os.ReadFile("../testdata/hostile.wasm")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wasm)
	f.Add([]byte("\x00asm\x01\x00\x00\x00"))
	f.Add(loops())
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	f.Fuzz(func(t *testing.T, b []byte) {
		out, err := Inject(b)
		if err != nil {
			return
		}
		was, err := rt.CompileModule(ctx, b)
		if err != nil {
			return // it was none before
		}
		defer was.Close(ctx)
		is, err := rt.CompileModule(ctx, out)
		if err != nil {
			t.Fatalf("was a module: %v", err)
		}
		defer is.Close(ctx)
		if len(is.ExportedFunctions()) != len(was.ExportedFunctions()) || len(is.ImportedFunctions()) != len(was.ImportedFunctions())+1 {
			t.Fatal("it exports or imports something else")
		}
	})
}

// Two loops, one in the other, called n and n times; returns how often the inner
// one ran. Written in bytes: (func (param i32) (result i32) (local i32 i32 i32) ...).
func loops() []byte {
	body := "\x01\x03\x7f" +
		"\x03\x40" + "\x41\x00\x21\x02" +
		"\x03\x40" + "\x20\x03\x41\x01\x6a\x21\x03" + "\x20\x02\x41\x01\x6a\x22\x02\x20\x00\x48\x0d\x00" + "\x0b" +
		"\x20\x01\x41\x01\x6a\x22\x01\x20\x00\x48\x0d\x00" + "\x0b" +
		"\x20\x03\x0b"
	return []byte("\x00asm\x01\x00\x00\x00" +
		"\x01\x06\x01\x60\x01\x7f\x01\x7f" + "\x03\x02\x01\x00" + "\x07\x05\x01\x01f\x00\x00" +
		"\x0a" + string(rune(len(body)+2)) + "\x01" + string(rune(len(body))) + body)
}

// TestInject: the result is that of the module as it was, and fuel is asked for
// once per slice of what was done.
func TestInject(t *testing.T) {
	ctx := t.Context()
	out, err := Inject(loops())
	if err != nil {
		t.Fatal(err)
	}
	rt := wazero.NewRuntime(ctx)
	defer rt.Close(ctx)
	asked := 0
	_, err = rt.NewHostModuleBuilder(Module).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, _ api.Module, s []uint64) {
			asked++
			s[0] = Slice
		}), nil, []api.ValueType{api.ValueTypeI64}).Export(Name).Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	mod, err := rt.Instantiate(ctx, out)
	if err != nil {
		t.Fatal(err)
	}
	got, err := mod.ExportedFunction("f").Call(ctx, 1000)
	if err != nil || got[0] != 1_000_000 {
		t.Fatalf("%v %v, want 1000000", got, err)
	}
	// 1,000,000 turns of 11 instructions and the entry's 4: 150 slices, and some.
	if asked < 140 || asked > 170 {
		t.Errorf("asked %d times", asked)
	}
	if _, err := Inject(out); err == nil {
		t.Error("a module that imports from the host's own place was taken")
	}
}
