//go:build !linux

package lgrp

// Only Linux passes ENONET on through accept(2).
var moreTransientErrors []error
