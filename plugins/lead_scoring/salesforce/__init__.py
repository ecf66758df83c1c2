"""Salesforce: preflight, diff, sync through Bulk API 2.0, ledger, undo and status."""
