"""The JSON form of each protobuf message (contract.md section 7). Each shape is stated once, for both directions."""
