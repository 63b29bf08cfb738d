package kernel

// clang-19 is pinned: other versions give other, equally good, objects, and CI
// wants an empty diff.

//go:generate go tool -modfile=../tools/go.mod bpf2go -cc clang-19 -strip llvm-strip-19 -no-global-types -tags linux -target amd64,arm64 -go-package kernel socket ../../bpf/socket.bpf.c -- -I../../bpf -mcpu=v3 -O2 -Wall -Wextra -Wpadded -Werror
//go:generate go tool -modfile=../tools/go.mod bpf2go -cc clang-19 -strip llvm-strip-19 -no-global-types -tags linux -target amd64,arm64 -go-package kernel syscall ../../bpf/syscall.bpf.c -- -I../../bpf -mcpu=v3 -O2 -Wall -Wextra -Wpadded -Werror
//go:generate go tool -modfile=../tools/go.mod bpf2go -cc clang-19 -strip llvm-strip-19 -no-global-types -tags linux -target amd64,arm64 -go-package kernel golang ../../bpf/golang.bpf.c -- -I../../bpf -mcpu=v3 -O2 -Wall -Wextra -Wpadded -Werror
//go:generate go tool -modfile=../tools/go.mod bpf2go -cc clang-19 -strip llvm-strip-19 -no-global-types -tags linux -target amd64,arm64 -go-package kernel packet ../../bpf/packet.bpf.c -- -I../../bpf -mcpu=v3 -O2 -Wall -Wextra -Wpadded -Werror
