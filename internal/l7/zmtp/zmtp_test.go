package zmtp

import (
	"testing"

	"github.com/hopscope/hopscope/internal/l7/l7test"
)

func TestProtocol(t *testing.T) { l7test.Run(t, Protocol) }

func FuzzParse(f *testing.F) { l7test.Fuzz(f, Protocol) }

func BenchmarkParse(b *testing.B) { l7test.Bench(b, Protocol, "plain") }
