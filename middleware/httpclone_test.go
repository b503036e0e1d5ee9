package middleware

import (
	"net/http"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

// A field that a later Go adds to http.Server fails this test, so that it is
// copied too, or listed here.
func TestCloneServerCopiesEverything(t *testing.T) {
	left := map[string]bool{"Addr": true, "TLSConfig": true}
	srv := new(http.Server)
	v := reflect.ValueOf(srv).Elem()
	for i := range v.NumField() {
		f, ft := v.Field(i), v.Type().Field(i)
		if !ft.IsExported() {
			continue
		}
		switch f.Kind() {
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Int, reflect.Int64:
			f.SetInt(int64(i + 1))
		case reflect.String:
			f.SetString(ft.Name)
		case reflect.Pointer:
			f.Set(reflect.New(f.Type().Elem()))
		case reflect.Map:
			f.Set(reflect.MakeMap(f.Type()))
		case reflect.Func:
			f.Set(reflect.MakeFunc(f.Type(), func([]reflect.Value) []reflect.Value { return nil }))
		case reflect.Interface:
			f.Set(reflect.ValueOf(http.NotFoundHandler()))
		default:
			t.Fatalf("field %s is of a new kind, %s", ft.Name, f.Kind())
		}
	}
	c := reflect.ValueOf(cloneServer(srv)).Elem()
	for i := range v.NumField() {
		if ft := v.Type().Field(i); ft.IsExported() {
			require.Equal(t, left[ft.Name], c.Field(i).IsZero(), ft.Name)
		}
	}
}
