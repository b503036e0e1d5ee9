//go:build !race

package lgrp_test

const raceEnabled = false
