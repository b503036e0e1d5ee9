// Command list compares the public API of every package with the listing that
// is committed beside it, or with -w writes that listing.
//
//	go run .ci/api/list.go      # what changed? exit code 1 if anything did
//	go run .ci/api/list.go -w   # it was meant
//
// A listing is one line for everything that a user can name: so that a change
// of the API is seen in review, however small. It is made from the compiler's
// export data, with constraints and type parameters, which apidiff overlooks.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

const dir = ".ci/api"

func main() {
	log.SetFlags(0)
	log.SetPrefix("api: ")
	write := flag.Bool("w", false, "write the listings")
	flag.Parse()

	want := map[string]string{} // file → text
	pkgs := load()
	for _, pkg := range pkgs {
		want[filepath.Join(dir, strings.ReplaceAll(short(pkg.Path()), "/", ".")+".txt")] = list(pkg)
	}
	have, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		log.Fatal(err)
	}
	if *write {
		for _, file := range have {
			if _, ok := want[file]; !ok {
				os.Remove(file)
			}
		}
		for file, text := range want {
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				log.Fatal(err)
			}
		}
		return
	}
	if len(have) == 0 {
		log.Printf("no listing is committed yet: nothing to compare with; make one with -w")
		return
	}
	changed := false
	for _, file := range slices.Sorted(keys(want, have)) {
		old, _ := os.ReadFile(file) // a missing one is an empty one
		for _, line := range diff(string(old), want[file]) {
			changed = true
			fmt.Printf("%s: %s\n", strings.TrimSuffix(filepath.Base(file), ".txt"), line)
		}
	}
	if changed {
		log.Fatal("the public API has changed; if that is meant, run: go run .ci/api/list.go -w")
	}
}

func keys(want map[string]string, have []string) func(func(string) bool) {
	all := slices.Clone(have)
	for file := range want {
		if !slices.Contains(all, file) {
			all = append(all, file)
		}
	}
	return slices.Values(all)
}

// load returns the packages of the module that others can import.
func load() []*types.Package {
	cmd := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}\t{{.Name}}\t{{if .Module}}{{.Module.Main}}{{end}}", "./...")
	cmd.Env = append(cmd.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		log.Fatal("go list: ", err)
	}
	exports := map[string]string{}
	var paths []string
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		exports[f[0]] = f[1]
		if len(f) == 4 && f[3] == "true" && f[2] != "main" && !strings.Contains(f[0], "/internal/") {
			paths = append(paths, f[0])
		}
	}
	imp := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	})
	var pkgs []*types.Package
	for _, path := range paths {
		pkg, err := imp.Import(path)
		if err != nil {
			log.Fatal(err)
		}
		pkgs = append(pkgs, pkg)
	}
	return pkgs
}

// short is an import path without the module's.
func short(path string) string {
	_, s, _ := strings.Cut(strings.TrimPrefix(path, "github.com/listengroup/"), "/")
	return s
}

func list(pkg *types.Package) string {
	var b bytes.Buffer
	q := func(p *types.Package) string {
		if p == pkg {
			return ""
		}
		return p.Path()
	}
	for _, name := range pkg.Scope().Names() {
		obj := pkg.Scope().Lookup(name)
		if !obj.Exported() {
			continue
		}
		switch obj := obj.(type) {
		case *types.Const:
			fmt.Fprintf(&b, "%s = %s\n", types.ObjectString(obj, q), obj.Val().ExactString())
		case *types.TypeName:
			listType(&b, obj, q)
		default:
			fmt.Fprintln(&b, types.ObjectString(obj, q))
		}
	}
	return b.String()
}

func listType(b *bytes.Buffer, obj *types.TypeName, q types.Qualifier) {
	head := "type " + obj.Name()
	named, ok := obj.Type().(*types.Named)
	if obj.IsAlias() || !ok {
		fmt.Fprintln(b, types.ObjectString(obj, q))
		return
	}
	if named.TypeParams().Len() > 0 {
		head = "type " + types.TypeString(named, q)
	}
	switch u := named.Underlying().(type) {
	case *types.Struct:
		fmt.Fprintf(b, "%s struct%s\n", head, hidden(u))
		for f := range u.Fields() {
			if f.Exported() {
				kind := "field"
				if f.Embedded() {
					kind = "embeds"
				}
				fmt.Fprintf(b, "%s.%s: %s %s%s\n", obj.Name(), f.Name(), kind, types.TypeString(f.Type(), q), tag(u, f))
			}
		}
	case *types.Interface:
		fmt.Fprintf(b, "%s interface, comparable %v, %d methods\n", head, types.Comparable(u), u.NumMethods())
		for e := range u.EmbeddedTypes() {
			fmt.Fprintf(b, "%s: embeds %s\n", obj.Name(), types.TypeString(e, q))
		}
		for m := range u.Methods() {
			fmt.Fprintf(b, "%s.%s: method %s\n", obj.Name(), m.Name(), strings.TrimPrefix(types.TypeString(m.Type(), q), "func"))
		}
	default:
		fmt.Fprintf(b, "%s %s\n", head, types.TypeString(u, q))
	}
	methods := slices.SortedFunc(named.Methods(), func(x, y *types.Func) int { return strings.Compare(x.Name(), y.Name()) })
	for _, m := range methods {
		if m.Exported() {
			fmt.Fprintln(b, types.ObjectString(m, q))
		}
	}
}

// hidden says whether a struct can be written as a literal without field names
// and compared with ==, on which users may come to rely.
func hidden(u *types.Struct) string {
	for f := range u.Fields() {
		if !f.Exported() {
			return fmt.Sprintf(", unexported fields, comparable %v", types.Comparable(u))
		}
	}
	return fmt.Sprintf(", comparable %v", types.Comparable(u))
}

func tag(u *types.Struct, f *types.Var) string {
	for i := range u.NumFields() {
		if u.Field(i) == f {
			if t := reflect.StructTag(u.Tag(i)).Get("json"); t != "" {
				return " json:" + t
			}
		}
	}
	return ""
}

// diff returns the lines that are only in one of two sorted-alike listings.
func diff(old, now string) (lines []string) {
	was, is := strings.Split(old, "\n"), strings.Split(now, "\n")
	for _, l := range was {
		if !slices.Contains(is, l) {
			lines = append(lines, "- "+l)
		}
	}
	for _, l := range is {
		if !slices.Contains(was, l) {
			lines = append(lines, "+ "+l)
		}
	}
	return lines
}
