package tasks

import "fmt"

func echo[T any](value T) (T, error) { return value, nil }

func echoOf[T any](into map[string]any) {
	var zero T
	into["echo_"+fmt.Sprintf("%T", zero)] = echo[T]
	into["echo_[]"+fmt.Sprintf("%T", zero)] = echo[[]T]
}

// echoes returns one task per Machinery type, named echo_<type>, which returns its argument.
func echoes() map[string]any {
	all := map[string]any{"echo_[]byte": echo[[]byte]}
	echoOf[bool](all)
	echoOf[int](all)
	echoOf[int8](all)
	echoOf[int16](all)
	echoOf[int32](all)
	echoOf[int64](all)
	echoOf[uint](all)
	echoOf[uint8](all)
	echoOf[uint16](all)
	echoOf[uint32](all)
	echoOf[uint64](all)
	echoOf[float32](all)
	echoOf[float64](all)
	echoOf[string](all)
	return all
}

// allScalars returns its fourteen arguments as fourteen results.
func allScalars(
	b bool, i int, i8 int8, i16 int16, i32 int32, i64 int64,
	u uint, u8 uint8, u16 uint16, u32 uint32, u64 uint64, f32 float32, f64 float64, s string,
) (bool, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, float32, float64, string, error) {
	return b, i, i8, i16, i32, i64, u, u8, u16, u32, u64, f32, f64, s, nil
}

// allSlices returns its fourteen arguments as fourteen results; []uint8 is the same Go type as []byte.
func allSlices(
	b []bool, i []int, i8 []int8, i16 []int16, i32 []int32, i64 []int64,
	u []uint, u8 []uint8, u16 []uint16, u32 []uint32, u64 []uint64, f32 []float32, f64 []float64, s []string,
) (
	[]bool, []int, []int8, []int16, []int32, []int64,
	[]uint, []uint8, []uint16, []uint32, []uint64, []float32, []float64, []string, error,
) {
	return b, i, i8, i16, i32, i64, u, u8, u16, u32, u64, f32, f64, s, nil
}
