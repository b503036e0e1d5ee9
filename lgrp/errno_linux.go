package lgrp

import "syscall"

var moreTransientErrors = []error{syscall.ENONET}
