"""How mail systems word their reports where no standard does: tables of patterns, no code.

One pattern serves many producers; the comments name those that a pattern was written for.
"""

import re

_CASELESS = re.IGNORECASE | re.MULTILINE


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), _CASELESS)


#: Who writes reports. Matched against From.
DAEMON = _any(
    r"mailer[-_. ]?daemon",
    r"post[-_. ]?master",
    r"mail(er)? deliver\w* (sub)?(system|service|agent)",
    r"(mail|delivery) (sub)?system",
    r"mail[-_ ]?service|mail administrator|system administrator|mail router|mdaemon|mail delivery",
    r"^\s*(\S+\s*)?<\s*>\s*$",
    r"\b(no|do-?not)[-_.]?reply",
    r"(-admin|-owner|-bounces?)@|\bowner-",  # mailing list programs
)

#: Who writes nothing but reports.
MAILER_DAEMON = _any(r"mailer[-_. ]?daemon")

#: What reports are called. Matched against Subject.
SUBJECT = _any(
    r"undeliver(ed|able)|non[- ]?deliver(y|able|ed)|not (be )?deliver(ed|able)|deliver(y|ed) (has )?fail",
    r"returned (e-?)?mail|mail (delivery )?(failed|failure|error|system error)|returned to sender|mail returned",
    r"delivery (status|fail\w*|failure|report|notif\w*|problem|error|delay\w*|incomplete|notice|warning|unsuccessful)",
    r"fail(ure|ed) (notice|notification|delivery|mail)|mail failure|message (delivery|could not|not delivered)",
    r"(could|can) ?not (be )?(deliver|send)|unable to deliver|permanent (delivery )?(failure|error)|mail could not",
    r"message (you sent )?(was )?(blocked|rejected|returned)|mail refused|rejected (mail|message)|undelivered",
    r"user unknown|unknown (user|recipient)|no such user|mailbox (is )?(full|unavailable)|processing error",
    r"not (yet )?been delivered|warning: message",
    r"are not member|loop alert",  # fml
    r"unzustellbar|nicht zugestellt|zustellung|fehlgeschlagen|onbezorgd|bezorging|kan inte levereras|olevererbar",
    r"ikke levere|kunne ikke leveres|toimittamaton|nedoruč|kézbesít|teslim edile|impossibile recapitare",
    r"não é possível entregar|no entregado|nie można dostarczyć|не удалось (доставить|отправить)|не вдалося доставити",
    r"не ўдалося (даставіць|дастав|адправ)",
    r"non remis|échec|non distribu|impossible de remettre|mancata consegna|non recapitat|non consegnat",
    r"no se (ha )?(pudo|podido) entregar|devuelto|não (foi )?entreg|falha na entrega|onbestelbaar|niedostarcz",
    r"недостав|не (может быть )?доставлен|ошибка доставки|не доставлено|сообщение о недоставке",
    r"недастаўл|не (можа быць )?дастаўлен|памылка дастаўкі|не доставлен|недоставлен",
    r"退信|系统退信|未送达|无法投递|投递失败|傳送失敗|無法傳遞|配信不能|送信エラー"
    r"|エラー通知|配信エラー|전송 실패|반송",
)

#: What stands before the addresses. From here on addresses are looked for.
INTRODUCTION = _any(
    r"following (e-?mail )?(address|recipient|destination|user)",  # Exim, qmail, Gmail, Sendmail, Exchange, Domino
    r"(address|recipient)\w*( that)? (had|have|has) (been )?(delivery|permanent|transient|fatal|fail|reject)",
    r"not yet been delivered|failed (address|recipient)|intended recipient|delivery of (e?-?mail|your message) to",
    r"did not reach|was(n't| not) (able to be )?delivered|were not delivered|has(n't| not) been delivered",
    r"(could|can|cannot|can't) ?(not )?(be|been) (delivered|sent)|can ?not be delivered",
    r"delivery( of your message)? (has )?failed"
    r"|failed (to deliver|delivery)|delivery (to|for) .{0,60}(fail|delay|abort)",
    r"unable to (deliver|send)|(error|problem|trouble) (while |in )?(deliver|attempting|trying)\w*",
    r"(message|mail) (to|for|was) .{0,80}(not relayed|rejected|undeliverable|blocked)|was not relayed",
    r"list of recipients|undeliverable|rejected by a remote|rejected your message|no such recipient",
    r"there was (a|an) (\S+ )?problem|couldn't be delivered|did not receive this message",
    r"addressed to:|invalid final delivery|delivery failed \d+ attempts|error message below|non-delivered",
    r"transcript of (the )?session follows|transcript of the attempts",
    r"not a? ?member of this mailing list|duplicated message-id in",
    r"fehler bei der (nachrichten)?zustellung|échec de (la )?remise|recapito non riuscito|impossibile recapitare",
    r"error de entrega|falha na entrega|a entrega falhou|bezorging (is )?mislukt|dostarczenie nie powiodło"
    r"|nie można dostarczyć",
    r"leverans(en)? misslyckades|kunde inte levereras|leveringen mislykkedes|doručení se nezdařilo|nelze doručit",
    r"kézbesítés(e)? (sikertelen|nem sikerült)|teslim (edilemedi|başarısız)|не вдалося доставити|сбой доставки",
    r"无法(发送|投递|送达)到|的配信に失敗|传递失败",
    r"konnten? nicht (zugestellt|übermittelt)|n'a pas pu être|n'ont pas pu|non è stato possibile|no se (ha )?pudo",
    r"не (может|могут|может быть|удалось|было|были)\b.{0,60}(достав|отправ)|недоставлен|не доставлен",
    r"не (можа|могуць|удалося|ўдалося)\b.{0,60}(дастаў|адпраў)|не дастаўлен",
    r"无法(投递|送达|发送)|未能(送达|投递)|退回|無法傳遞|送信できません|配信できません|送信に失敗|届けられません",
)

#: What stands before a returned message. From here on nothing is read.
RETURNED = _any(
    r"^[ \t]*[-_=*]{2,}[ \t]*(below (this line|is)|(the )?(header|text|copy|body)s? of the (original|message)"
    r"|this is a copy|original (mail|message)|unsent message|returned (mail|message)|undelivered message"
    r"|enclosed (is|are) (a|the) (copy|original)|message (header|text|body|follows)|returned content|копия|исходное)",
    r"^[ \t]*(the )?original (message|mail)( headers?)?( as)? (follows|was|is attached)\b(?! received)",
    r"^[ \t]*original message headers?:|^message headers? follow|^[ \t]*included is a copy of|^-+ ?original message",
    r"^[ \t]*below is a copy of the|^[ \t]*(here is|this is) (a|your) (copy|original) (of )?(the|your|message)",
    r"^[ \t]*-*[ \t]*(ab hier folgt|(ursprüngliche|original)[- ]?(nachricht|mail)|message d'origine|исходное сообщение"
    r"|以下是原)",
    r"^(received|return-path|message-id|dkim-signature|arc-seal|x-google-\S+|delivered-to|x-received)[ \t]*:",
    r"^[ \t]*content-type:[ \t]*(message/(rfc822|global|partial)|text/rfc822-headers)",
)

#: A mail system that is still trying.
DELAYED = _any(
    r"postponed|advisory[- ]only|continue(s|d)? to (try|attempt)|attempts will continue|just a warning",
    r"warning message only|\bdelayed\b|will (be retried|keep trying|retry)|still undelivered|delivery incomplete",
    r"(only a )?temporary failure report|not yet been delivered|no need to resend|\(delay\)|do not need to re-?send",
    r"будет повторен|паўтораная спроба|wird weiter versucht|nouvelle tentative",
)
GIVEN_UP = _any(r"permanent|giv(en|ing) up|no further|will be deleted|final (notice|failure)|not going to try")

#: Absences and receipts by their subject, where the header says nothing (RFC 3834 §3.1.5 leaves the words open).
AUTOMATIC = _any(
    r"^\W*(auto(matic|mated|matisch\w*|matique|matica|mática)?[- _]?(re(ply|sponse|sponder)|antwort|réponse|respuesta"
    r"|risposta|resposta|svar|odpowied[zź])|auto:)",
    r"out of (the )?office|\bOOO\b|\bOOF\b|on (vacation|holiday|leave)|away from (my|the) (mail|office|desk)",
    r"vacation (reply|notice|message|response)|i am away|absence (notice|notification)",
    r"automatische (antwort|antwoord)|abwesenheit|abwesend|nicht im (büro|haus)|afwezig",
    r"réponse automatique|absen(t|ce) du bureau|respuesta automática|fuera de (la )?oficina|risposta automatica",
    r"fuori (sede|ufficio)|resposta automática|fora do escritório|autosvar|automaattinen vastaus|frånvaro",
    r"autoodpowied|automatyczna odpowied|nieobecno|automatická odpov|automatinis atsak|automātiskā atbild",
    r"автоматический ответ|автоответ|авто-?ответ|меня нет (в офисе|на месте)|в отпуске|нет на рабочем месте|отсутствую",
    r"аўтаматычны адказ|аўтаадказ|аўта-?адказ|мяне няма|у адпачынку|адсутнічаю",
    r"автоматична відповідь|автовідповід|у відпустці|відсутн",
    r"自动(回复|答复)|自動(返信|回覆|応答|回答)|不在|休假|外出中|자동 ?(회신|응답)|부재중",
)

#: Complaints without fields (Outlook.com's junk mail reporting), by their subject.
COMPLAINT = _any(r"^\s*complaint about message from [0-9a-f.:]+\s*$")

#: Apple Mail's own message for a List-Unsubscribe address: the reader's, in automatic dress.
OPT_OUT = _any(r"apple mail sent this (e-?mail|message) to unsubscribe")
