package protos

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
)

// Value is a part of a message in JSON form.
type Value struct{ raw any }

// Value gives message as a Value.
func (r *Registry) Value(message proto.Message) (Value, error) {
	text, err := r.JSON(message)
	if err != nil {
		return Value{}, err
	}
	var raw any
	if err := json.Unmarshal(text, &raw); err != nil {
		return Value{}, err
	}
	return Value{raw}, nil
}

// At follows a path such as "messages.0.version.tag"; what is not there is an empty Value.
func (v Value) At(path string) Value {
	current := v.raw
	for part := range strings.SplitSeq(path, ".") {
		switch node := current.(type) {
		case map[string]any:
			current = node[part]
		case []any:
			index, err := strconv.Atoi(part)
			if err != nil || index < 0 || index >= len(node) {
				return Value{}
			}
			current = node[index]
		default:
			return Value{}
		}
	}
	return Value{current}
}

// List gives the elements of a repeated field.
func (v Value) List() []Value {
	items, _ := v.raw.([]any)
	values := make([]Value, len(items))
	for i, item := range items {
		values[i] = Value{item}
	}
	return values
}

// String gives the text of a scalar; absent and null are "".
func (v Value) String() string {
	switch raw := v.raw.(type) {
	case nil:
		return ""
	case string:
		return raw
	case float64:
		return strconv.FormatFloat(raw, 'f', -1, 64)
	case bool:
		return strconv.FormatBool(raw)
	default:
		text, err := json.Marshal(raw)
		if err != nil {
			return fmt.Sprint(raw)
		}
		return string(text)
	}
}

// Int gives a whole number; anything else is 0.
func (v Value) Int() int64 {
	number, _ := strconv.ParseInt(v.String(), 10, 64)
	return number
}

// Float gives a number; anything else is 0.
func (v Value) Float() float64 {
	number, _ := strconv.ParseFloat(v.String(), 64)
	return number
}

// Bytes decodes a bytes field.
func (v Value) Bytes() []byte {
	data, _ := base64.StdEncoding.DecodeString(v.String())
	return data
}

// Present tells whether the field is there and not null.
func (v Value) Present() bool { return v.raw != nil }
