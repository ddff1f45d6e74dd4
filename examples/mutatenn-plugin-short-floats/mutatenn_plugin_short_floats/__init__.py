"""An emulated accelerator, an executor that tries again, and a reporter for spreadsheets."""
