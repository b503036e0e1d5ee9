//go:build unix

package process

import (
	"os/exec"
	"syscall"
)

// ownGroup makes the process, and those that it will start, a group that
// killGroup can end.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func killGroup(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
