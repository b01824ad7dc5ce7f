"""How each thing is said in JSON and in protobuf (contract.md section 7): stated once, read in both directions."""
