package netx

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// What a connection costs for each wrapper over it; 96 is the most.
func TestWrappersAreSmall(t *testing.T) {
	for name, size := range map[string]uintptr{
		"CountConn":       unsafe.Sizeof(countConn{}),
		"WithCloseNotify": unsafe.Sizeof(closeNotifier{}),
		"Peek":            unsafe.Sizeof(peeked{}),
		"Meter":           unsafe.Sizeof(Meter{}),
	} {
		require.LessOrEqual(t, size, uintptr(96), name)
	}
	require.Equal(t, unsafe.Sizeof(uintptr(0)), unsafe.Sizeof(layerRWCS[*countConn]{}), "a pointer")
}
