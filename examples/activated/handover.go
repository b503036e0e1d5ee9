package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/netx"
)

// isReady is what a successor writes when it listens.
const isReady = "ready"

// patience is how long a successor may take to come up.
const patience = 10 * time.Second

// handOver starts this program again with the group's sockets. It returns nil
// when the successor listens on them; else the successor is gone and the group
// as it was.
func handOver(g *lgrp.ListenGroup[port, session], generation int, grace time.Duration) (err error) {
	exe, err := os.Executable() // which may be a newer one by now
	if err != nil {
		return err
	}
	var files []*os.File
	defer func() {
		for _, f := range files {
			_ = f.Close()
		}
	}()
	args := []string{"-grace", grace.String(), "-generation", strconv.Itoa(generation)}
	var addresses []string
	for l := range g.Listeners() {
		fs, err := netx.Files(l.Context().ln)
		if err != nil {
			return err
		}
		for _, f := range fs {
			addresses = append(addresses, fmt.Sprintf("fd:%d", 3+len(files))) // where ExtraFiles begin
			files = append(files, f)
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	args = append(args, "-ready", strconv.Itoa(3+len(files)))
	files = append(files, w)

	cmd := exec.Command(exe, append(args, addresses...)...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = os.Stdout, os.Stderr, files
	if err := cmd.Start(); err != nil {
		return err
	}
	// Only the successor may hold the end that is written to, so that its
	// death is the end of the file.
	_ = w.Close()
	_ = r.SetReadDeadline(time.Now().Add(patience))
	said, err := io.ReadAll(r)
	if string(said) == isReady {
		return cmd.Process.Release()
	}
	_ = cmd.Process.Kill()
	return errors.Join(errors.New("the successor has not come up"), err, cmd.Wait())
}
