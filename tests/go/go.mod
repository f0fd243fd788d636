module interpret

go 1.25
