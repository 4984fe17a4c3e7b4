module {{name}}

go 1.24

require pelton/sdk/go v0.1.0
