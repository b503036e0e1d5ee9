package middleware_test

import (
	"fmt"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
)

func ExampleDenyFrom() {
	banned := middleware.MustIPSet()
	g, dial := serve(greet, middleware.DenyFrom(banned))
	defer g.Close()

	fmt.Println(hear(dial()))
	list, err := middleware.NewIPSet("127.0.0.1", "203.0.113.0/24") // as read from a file
	if err != nil {
		fmt.Println(err)
	}
	banned.Set(list.Prefixes()...)
	fmt.Println(hear(dial()))
	ended(g, 1)
	fmt.Println(g.Info().Closed[lgrp.ReasonDenied], "denied")
	// Output:
	// hello
	// nothing
	// 1 denied
}
