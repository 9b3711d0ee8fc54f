"""The words of the public page, in each of its languages; the operator's page is in English, as webmon's logs are.

A text's places are those of str.format. Numbers are written as the language has them.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Final

LANGUAGES: Final = ("en", "de", "fr", "es")

_TEXTS: Final[Mapping[str, tuple[str, str, str, str]]] = {
    # States, as short as they stand in a row.
    "up": ("Up", "In Ordnung", "En marche", "En servicio"),
    "slow": ("Slow", "Langsam", "Lent", "Lento"),
    "partial": ("Partly down", "Teils gestört", "Partiel", "Parcial"),
    "down": ("Down", "Gestört", "En panne", "Caído"),
    "maintenance": ("Maintenance", "Wartung", "Maintenance", "Mantenimiento"),
    "unknown": ("Not known", "Unbekannt", "Inconnu", "Desconocido"),
    "none": ("Not watched", "Nicht beobachtet", "Non surveillé", "Sin vigilancia"),
    # The sentence on top.
    "all_work": ("Everything works", "Alles funktioniert", "Tout fonctionne", "Todo funciona"),
    "all_work_slow": (
        "Everything works, {slow} of {count} slowly",
        "Alles funktioniert, {slow} von {count} langsam",
        "Tout fonctionne, {slow} sur {count} lentement",
        "Todo funciona, {slow} de {count} con lentitud",
    ),
    "all_but": (
        "All but {bad} of {count} work",
        "Alle bis auf {bad} von {count} funktionieren",
        "Tout fonctionne sauf {bad} sur {count}",
        "Todo funciona salvo {bad} de {count}",
    ),
    "none_fully": (
        "None of {count} works from everywhere",
        "Keines von {count} funktioniert von überall",
        "Aucun des {count} ne fonctionne de partout",
        "Ninguno de {count} funciona desde todas partes",
    ),
    "none_works": ("Nothing works", "Nichts funktioniert", "Rien ne fonctionne", "Nada funciona"),
    "it_fails": ("It does not work", "Es funktioniert nicht", "Cela ne fonctionne pas", "No funciona"),
    "it_works": ("It works", "Es funktioniert", "Cela fonctionne", "Funciona"),
    "under_maintenance": (
        "Under maintenance until {until}",
        "In Wartung bis {until}",
        "En maintenance jusqu’à {until}",
        "En mantenimiento hasta {until}",
    ),
    "not_known": (
        "Not known: no data since {since}",
        "Unbekannt: keine Daten seit {since}",
        "Inconnu : aucune donnée depuis {since}",
        "Desconocido: sin datos desde {since}",
    ),
    "not_known_yet": (
        "Not known: no data yet",
        "Unbekannt: noch keine Daten",
        "Inconnu : pas encore de données",
        "Desconocido: aún no hay datos",
    ),
    "some_unknown": (
        "Of {count}, {bad} are not known",
        "Von {count} sind {bad} unbekannt",
        "Sur {count}, {bad} sont inconnus",
        "De {count}, {bad} son desconocidos",
    ),
    "nothing_public": (
        "Nothing is public yet",
        "Noch ist nichts öffentlich",
        "Rien n’est encore public",
        "Aún no hay nada público",
    ),
    "nothing_public_more": (
        "Who runs this page says in its file which targets are shown here.",
        "Wer diese Seite betreibt, nennt in ihrer Datei, was hier gezeigt wird.",
        "La personne qui gère cette page indique dans son fichier ce qui est montré ici.",
        "Quien gestiona esta página indica en su archivo qué se muestra aquí.",
    ),
    "as_of": ("As of {time}", "Stand {time}", "État à {time}", "Estado a las {time}"),
    "as_of_old": (
        "As of {time}: newer data do not come at the moment",
        "Stand {time}: neuere Daten kommen zurzeit nicht an",
        "État à {time} : les données plus récentes n’arrivent pas pour le moment",
        "Estado a las {time}: por ahora no llegan datos más recientes",
    ),
    "also_maintenance": (
        "{count} under maintenance",
        "{count} in Wartung",
        "{count} en maintenance",
        "{count} en mantenimiento",
    ),
    "also_unknown": ("{count} not known", "{count} unbekannt", "{count} inconnus", "{count} desconocidos"),
    "also_slow": ("{count} slow", "{count} langsam", "{count} lents", "{count} lentos"),
    "also_partial": ("{count} partly down", "{count} teils gestört", "{count} partiels", "{count} parciales"),
    # Frame.
    "skip": ("To the content", "Zum Inhalt", "Aller au contenu", "Ir al contenido"),
    "pages": ("Pages", "Seiten", "Pages", "Páginas"),
    "overview": ("Overview", "Übersicht", "Vue d’ensemble", "Resumen"),
    "incidents": ("Incidents", "Störungen", "Incidents", "Incidentes"),
    "upkeep": ("Maintenance", "Wartung", "Maintenance", "Mantenimiento"),
    "feed": ("Feed", "Feed", "Flux", "Canal"),
    "load_anew": ("Load anew", "Neu laden", "Actualiser", "Actualizar"),
    "pause": ("Pause updates", "Aktualisierung anhalten", "Suspendre l’actualisation", "Pausar la actualización"),
    "go_on": ("Go on updating", "Weiter aktualisieren", "Reprendre l’actualisation", "Reanudar la actualización"),
    "utc": (
        "Days are UTC.",
        "Tage sind in UTC.",
        "Les jours sont en UTC.",
        "Los días están en UTC.",
    ),
    "valid_until": (
        "This copy is valid until {time}.",
        "Diese Kopie gilt bis {time}.",
        "Cette copie est valable jusqu’à {time}.",
        "Esta copia es válida hasta {time}.",
    ),
    "not_found": ("No such page", "Keine solche Seite", "Page introuvable", "Página no encontrada"),
    "not_found_more": (
        "What you look for is not here, or not any more.",
        "Was Sie suchen, ist nicht oder nicht mehr hier.",
        "Ce que vous cherchez n’est pas ici, ou n’y est plus.",
        "Lo que busca no está aquí, o ya no está.",
    ),
    "language": ("Language", "Sprache", "Langue", "Idioma"),
    # Rows.
    "name": ("Name", "Name", "Nom", "Nombre"),
    "state": ("State", "Zustand", "État", "Estado"),
    "last_days": ("{count} days", "{count} Tage", "{count} jours", "{count} días"),
    "span_1": ("24 h", "24 h", "24 h", "24 h"),
    "span_7": ("7 days", "7 Tage", "7 jours", "7 días"),
    "span_30": ("30 days", "30 Tage", "30 jours", "30 días"),
    "span_90": ("90 days", "90 Tage", "90 jours", "90 días"),
    "span_365": ("1 year", "1 Jahr", "1 an", "1 año"),
    "watched": ("watched {share}", "beobachtet {share}", "surveillé {share}", "vigilado {share}"),
    "no_data": ("no data", "keine Daten", "aucune donnée", "sin datos"),
    "uptime_key": (
        "Uptime is the share of checks that found it working. Below it stands how much of the time was watched; "
        "maintenance is in neither.",
        "Verfügbarkeit ist der Anteil der Prüfungen, bei denen es funktionierte. Darunter steht, wie viel der Zeit "
        "beobachtet wurde; Wartung zählt zu keinem von beiden.",
        "La disponibilité est la part des contrôles réussis. En dessous figure la part du temps surveillée ; la "
        "maintenance n’entre dans aucune des deux.",
        "La disponibilidad es la parte de las comprobaciones correctas. Debajo figura cuánto tiempo se vigiló; el "
        "mantenimiento no cuenta en ninguna.",
    ),
    "bars_say": (
        "{count} days: {bad} with failures",
        "{count} Tage: {bad} mit Störungen",
        "{count} jours : {bad} avec des pannes",
        "{count} días: {bad} con fallos",
    ),
    "bars_say_none": (
        "{count} days without failures",
        "{count} Tage ohne Störung",
        "{count} jours sans panne",
        "{count} días sin fallos",
    ),
    "show_all": ("Show all {count}", "Alle {count} zeigen", "Afficher les {count}", "Mostrar los {count}"),
    "bar_says": (
        "{day}: {uptime}, {watched}",
        "{day}: {uptime}, {watched}",
        "{day} : {uptime}, {watched}",
        "{day}: {uptime}, {watched}",
    ),
    "nothing_watched": (
        "nothing was watched yet",
        "noch nichts beobachtet",
        "rien n’a encore été surveillé",
        "aún no se ha vigilado nada",
    ),
    # A target.
    "since": ("Watched since {time}", "Beobachtet seit {time}", "Surveillé depuis {time}", "Vigilado desde {time}"),
    "last_check": ("Last check {time}", "Letzte Prüfung {time}", "Dernier contrôle {time}", "Última revisión {time}"),
    "uptime": ("Uptime", "Verfügbarkeit", "Disponibilité", "Disponibilidad"),
    "response_times": ("Response time", "Antwortzeit", "Temps de réponse", "Tiempo de respuesta"),
    "span": ("Span", "Zeitraum", "Période", "Periodo"),
    "half": ("half within", "die Hälfte in", "la moitié en", "la mitad en"),
    "p95": ("95 % within", "95 % in", "95 % en", "95 % en"),
    "p99": ("99 % within", "99 % in", "99 % en", "99 % en"),
    "slowest": ("slowest", "langsamste", "plus lent", "más lento"),
    "checks": ("checks", "Prüfungen", "contrôles", "comprobaciones"),
    "vantages": ("Seen from", "Gesehen von", "Vu depuis", "Visto desde"),
    "vantage": ("Vantage", "Standort", "Point de vue", "Punto de vista"),
    "answered": ("Answered in", "Antwort in", "Réponse en", "Respuesta en"),
    "checked": ("Checked", "Geprüft", "Contrôlé", "Comprobado"),
    "phases": (
        "Phases of the last checks",
        "Phasen der letzten Prüfungen",
        "Phases des derniers contrôles",
        "Fases de las últimas comprobaciones",
    ),
    "dns": ("Name", "Name", "Nom", "Nombre"),
    "connect": ("Connect", "Verbinden", "Connexion", "Conexión"),
    "tls": ("TLS", "TLS", "TLS", "TLS"),
    "first_byte": ("First byte", "Erstes Byte", "Premier octet", "Primer byte"),
    "transfer": ("Transfer", "Übertragung", "Transfert", "Transferencia"),
    "days": ("Day by day", "Tag für Tag", "Jour par jour", "Día a día"),
    "day": ("Day", "Tag", "Jour", "Día"),
    "failed": ("failed", "fehlgeschlagen", "échoués", "fallidas"),
    "share_watched": ("watched", "beobachtet", "surveillé", "vigilado"),
    "share_maintenance": ("maintenance", "Wartung", "maintenance", "mantenimiento"),
    "address": ("Address", "Adresse", "Adresse", "Dirección"),
    "certificate_ends": ("Certificate ends", "Zertifikat endet", "Fin du certificat", "El certificado caduca"),
    "badge": ("Badges", "Plaketten", "Badges", "Distintivos"),
    # Incidents.
    "no_incident": (
        "No incident in the last {count} days",
        "Keine Störung in den letzten {count} Tagen",
        "Aucun incident au cours des {count} derniers jours",
        "Ningún incidente en los últimos {count} días",
    ),
    "open_now": ("Open now", "Offen", "En cours", "Abiertos"),
    "past": ("Past", "Vergangene", "Passés", "Pasados"),
    "to_come": ("To come", "Kommende", "À venir", "Próximos"),
    "going_on": ("Going on", "Läuft", "En cours", "En curso"),
    "is_down": ("{name} is down", "{name} ist gestört", "{name} est en panne", "{name} está caído"),
    "was_down": ("{name} was down", "{name} war gestört", "{name} était en panne", "{name} estuvo caído"),
    "is_slow": ("{name} is slow", "{name} ist langsam", "{name} est lent", "{name} está lento"),
    "was_slow": ("{name} was slow", "{name} war langsam", "{name} était lent", "{name} estuvo lento"),
    "is_partial": (
        "{name} is partly down",
        "{name} ist teils gestört",
        "{name} est partiellement en panne",
        "{name} está caído en parte",
    ),
    "was_partial": (
        "{name} was partly down",
        "{name} war teils gestört",
        "{name} était partiellement en panne",
        "{name} estuvo caído en parte",
    ),
    "began": ("It began to fail", "Die Störung begann", "La panne a commencé", "Empezó a fallar"),
    "began_slow": ("It became slow", "Es wurde langsam", "C’est devenu lent", "Se volvió lento"),
    "opened": (
        "Confirmed from {seen} of {asked} vantages",
        "Bestätigt von {seen} von {asked} Standorten",
        "Confirmé depuis {seen} points de vue sur {asked}",
        "Confirmado desde {seen} de {asked} puntos",
    ),
    "opened_plain": ("Confirmed", "Bestätigt", "Confirmé", "Confirmado"),
    "ended": ("It works again", "Es funktioniert wieder", "Cela fonctionne à nouveau", "Vuelve a funcionar"),
    "over": ("Closed", "Beendet", "Terminé", "Cerrado"),
    "lasted": ("lasted {time}", "dauerte {time}", "a duré {time}", "duró {time}"),
    "from_until": ("{begin} to {end}", "{begin} bis {end}", "{begin} à {end}", "{begin} a {end}"),
    "from_on": ("since {begin}", "seit {begin}", "depuis {begin}", "desde {begin}"),
    "news": ("Announcements", "Mitteilungen", "Annonces", "Avisos"),
    "timeline": ("Timeline", "Verlauf", "Chronologie", "Cronología"),
    "no_maintenance": (
        "No maintenance is planned",
        "Es ist keine Wartung geplant",
        "Aucune maintenance n’est prévue",
        "No hay mantenimiento previsto",
    ),
    "concerns": ("Concerns {names}", "Betrifft {names}", "Concerne {names}", "Afecta a {names}"),
    "and_more": (
        "{names} and {count} more",
        "{names} und {count} weitere",
        "{names} et {count} autres",
        "{names} y {count} más",
    ),
    "work": ("Maintenance", "Wartung", "Maintenance", "Mantenimiento"),
    "response_24h": ("response 24 h", "Antwortzeit 24 h", "réponse 24 h", "respuesta 24 h"),
    "uptime_30d": ("uptime 30 d", "Verfügbarkeit 30 d", "disponibilité 30 j", "disponibilidad 30 d"),
    "status": ("status", "Status", "état", "estado"),
}

_MONTHS: Final = {
    "en": ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
    "de": ["Jan.", "Feb.", "März", "Apr.", "Mai", "Juni", "Juli", "Aug.", "Sep.", "Okt.", "Nov.", "Dez."],
    "fr": ["janv.", "févr.", "mars", "avr.", "mai", "juin", "juil.", "août", "sept.", "oct.", "nov.", "déc."],
    "es": ["ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sep", "oct", "nov", "dic"],
}
_THIN: Final = "\u202f"
"""Between a number and its unit: narrow, and no line ends there."""


class Texts:
    """One language."""

    def __init__(self, language: str) -> None:
        """Take one of LANGUAGES."""
        self.language = language
        self._place = LANGUAGES.index(language)
        self._comma = "." if language == "en" else ","

    def __call__(self, key: str, **values: object) -> str:
        """Give a text; its values are put in as they are."""
        return _TEXTS[key][self._place].format(**values)

    def percent(self, hundredths: int | None) -> str:
        """Give hundredths of a percent, which were cut: what is short of 100 % never reads as 100 %."""
        if hundredths is None:
            return self("no_data")
        if hundredths >= 10_000:
            return f"100{_THIN}%"
        return f"{hundredths / 100:.2f}".replace(".", self._comma) + f"{_THIN}%"

    def about(self, hundredths: int) -> str:
        """Give hundredths of a percent in whole percent, cut."""
        return f"{hundredths // 100}{_THIN}%"

    def milliseconds(self, seconds: float | None) -> str:
        """Give a response time."""
        return "–" if seconds is None else f"{seconds * 1000:.0f}{_THIN}ms"

    def duration(self, seconds: float) -> str:
        """Give a long span of time, in two units at most."""
        left = max(0, round(seconds))
        if left >= 3600:
            left = round(left / 60) * 60
        parts = []
        day = {"de": "T", "fr": "j"}.get(self.language, "d")
        for unit, length in ((day, 86_400), ("h", 3600), ("min", 60), ("s", 1)):
            count, left = divmod(left, length)
            if count:
                parts.append(f"{count}{_THIN}{unit}")
        return " ".join(parts[:2]) or f"0{_THIN}s"

    def date(self, moment: date) -> str:
        """Give a day."""
        return _day(moment, self.language)

    def minute(self, moment: datetime) -> str:
        """Give a time in UTC, to the minute."""
        moment = moment.astimezone(UTC)
        return f"{_day(moment, self.language)}, {moment:%H:%M} UTC"

    def clock(self, moment: datetime) -> str:
        """Give the time of a day, in UTC."""
        return f"{moment.astimezone(UTC):%H:%M} UTC"


def _day(day: date, language: str) -> str:
    month = _MONTHS[language][day.month - 1]
    return f"{day.day}. {month} {day.year}" if language == "de" else f"{day.day} {month} {day.year}"


ALL: Final = {language: Texts(language) for language in LANGUAGES}


def chosen(accept: str, asked: str | None = None) -> Texts:
    """Give the language asked for: by `?lang=`, else by Accept-Language (RFC 9110, 12.5.4), else English."""
    if asked in ALL:
        return ALL[asked]
    best, wanted = "en", 0.0
    for part in accept[:1000].split(","):
        tag, _, parameters = part.partition(";")
        found = re.fullmatch(r"\s*q=([01](?:\.\d{0,3})?)\s*", parameters)
        weight = float(found[1]) if found else 0.0 if parameters else 1.0
        language = tag.strip().lower().partition("-")[0]
        if language in ALL and weight > wanted:
            best, wanted = language, weight
    return ALL[best]
