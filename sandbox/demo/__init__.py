"""What does all this look like? One story over real open data, told in a terminal."""
