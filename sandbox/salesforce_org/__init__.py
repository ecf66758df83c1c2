"""A Salesforce org for a laptop: the HTTP interfaces that lead scoring uses, with state on disk.

It knows Leads only, reads its custom fields from the metadata that would be deployed to a real org, and can be told to
misbehave. What it imitates, and where from: REST and Bulk API 2.0 developer guides of Salesforce, API version 59.0.
"""
