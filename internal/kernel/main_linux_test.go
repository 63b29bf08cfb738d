package kernel

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain runs the tests in a mount namespace of their own that has tracefs:
// the row on system call tracepoints needs it, and many hosts don't mount it.
func TestMain(m *testing.M) {
	const mark = "HOPSCOPE_TEST_NAMESPACE"
	if os.Geteuid() != 0 || hasTracefs() || os.Getenv("HOPSCOPE_BARE_READER") != "" {
		os.Exit(m.Run())
	}
	if os.Getenv(mark) == "" {
		cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
		cmd.Env = append(os.Environ(), mark+"=1")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
		var exit *exec.ExitError
		switch err := cmd.Run(); {
		case errors.As(err, &exit):
			os.Exit(exit.ExitCode())
		case err == nil:
			os.Exit(0)
		}
		fmt.Println("no mount namespace here: the row on system call tracepoints is not tested")
		os.Exit(m.Run())
	}
	if err := errors.Join(
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, "")); err != nil {
		fmt.Println("tracefs can't be mounted:", err)
	}
	os.Exit(m.Run())
}

func hasTracefs() bool {
	_, err := os.Stat("/sys/kernel/tracing/events")
	return err == nil
}
