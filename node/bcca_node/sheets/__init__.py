"""What people write in spreadsheets, read row by row: everything wrong is told at once."""
