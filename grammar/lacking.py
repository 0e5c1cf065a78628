"""Words of the appliance that this product lacks: they are refused by name."""

from __future__ import annotations

LACKING = frozenset(
    """attach backup bash controller convert deactivate detach disable discover enable generate
    initialplacement move patch ping placement purge rebalance reboot rediscover reload reset
    restart restore resync retry rotate send shell shutdown ssh start stop switch
    sync techsupport telnet test traceroute upgrade upload verify verifylogin warmstart write""".split()
)
"""Verbs of the appliance that this product lacks."""

LACKING_KINDS = frozenset(
    """actiongroupconfig alertconfig alertemailconfig alertscriptconfig alertsyslogconfig analyticsprofile
    applicationpersistenceprofile authprofile autoscalelaunchconfig backupconfiguration botdetectionpolicy
    certificatemanagementprofile cloudconnectoruser cluster controllerportalregistration controllersite
    customipamdnsprofile dnspolicy dynamicdnsrecord errorpagebody errorpageprofile fileobject geodb gslb
    gslbgeodbprofile gslbservice hardwaresecuritymodulegroup httppolicyset icapprofile ipaddrgroup
    ipamdnsproviderprofile ipreputationdb jwtprofile jwtserverprofile l4policyset labelgroup
    microservicegroup natpolicy network networksecuritypolicy networkservice nsxtsegmentruntime
    pingaccessagent pkiprofile poolgroup poolgroupdeploymentpolicy prioritylabels protocolparser role
    scheduler securitymanagerdata securitypolicy seproperties serverautoscalepolicy serviceengineproperties
    siteversion snmptrapprofile sslkeyandcertificate sslprofile ssopolicy statediffoperation stringgroup
    systemconfiguration systemlimits testsedatastorelevel1 trafficcloneprofile user useraccountprofile
    useractivity vcenterserver vsdatascriptset vsgs wafapplicationsignatureprovider wafcrs wafpolicy
    wafpolicypsmgroup wafprofile webapput webhook""".split()
)
"""Kinds of objects of the appliance that this product lacks."""

LACKING_AFTER = frozenset({"terminal mode", "terminal session_timeout", "terminal timezone"})
"""Commands of the appliance whose first word is here, and whose second this product lacks."""
