"""The login of the tasks that read or write Salesforce: the Airflow connection that the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lead_scoring.settings import SalesforceSettings


def org(settings: SalesforceSettings) -> tuple[Any, str]:
    """:returns: a logged-in ``simple_salesforce.Salesforce``, and the address of the org's list of leads.

    :raises Transient: the org does not answer. :raises BadInput: it refuses the login.
    """
    from airflow.providers.salesforce.hooks.salesforce import SalesforceHook

    from lead_scoring.salesforce import lead_list_url, logging_in, session

    hook = SalesforceHook(salesforce_conn_id=settings.conn_id, session=session(settings))
    with logging_in(settings):
        salesforce = hook.get_conn()
    return salesforce, lead_list_url(salesforce, settings)
