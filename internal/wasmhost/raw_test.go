package wasmhost

import (
	"bytes"
	"context"
	"os"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

func BenchmarkRaw(b *testing.B) {
	wasm, _ := os.ReadFile("testdata/hostile.wasm")
	ctx := context.Background()
	rt := wazero.NewRuntime(ctx)
	pay := bytes.Repeat([]byte("x"), 1024)
	bd := rt.NewHostModuleBuilder("deepflow")
	for _, c := range deepflowCalls() {
		n := c.params()
		ps := make([]api.ValueType, n)
		for i := range ps {
			ps[i] = api.ValueTypeI32
		}
		res := []api.ValueType{api.ValueTypeI32}
		if c.Result == "" {
			res = nil
		}
		bd = bd.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, m api.Module, s []uint64) {
			p, _ := m.Memory().Read(uint32(s[0]), uint32(s[1]))
			s[0] = uint64(copy(p, pay))
		}), ps, res).Export(c.Name)
	}
	if _, err := bd.Instantiate(ctx); err != nil {
		b.Fatal(err)
	}
	mod, err := rt.Instantiate(ctx, wasm)
	if err != nil {
		b.Fatal(err)
	}
	f := mod.ExportedFunction("on_http_req")
	var st [1]uint64
	b.ResetTimer()
	t := cpuNow()
	for range b.N {
		if err := f.CallWithStack(ctx, st[:]); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpuNow()-t)/float64(b.N), "cpu-ns/op")
}
