"""A short text in each of six languages, and questions whose words stand there in other forms.

Nouns change their number or case and verbs their person or tense: of the words that carry a
question's meaning, none that stands in the text has the same letters there, names and numbers
apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class LanguageText:
    """A text, and what is asked about it."""

    title: str
    text: str
    questions: tuple[tuple[str, str], ...]
    """Each with words of the sentence that answers."""


TEXTS: Final = {
    "de": LanguageText(
        "Kleingartenverein",
        "Die Parzellen werden im Februar verlost. Neue Mitglieder zahlen 35 Euro. Hecken "
        "dürfen höchstens 1,20 Meter hoch sein.\n\n"
        "Geräte können im Schuppen ausgeliehen werden, und zwar für drei Tage. Die "
        "Wasserhähne werden im November abgestellt. Lauben brauchen eine Genehmigung des "
        "Vorstands.\n\n"
        "Hunde sind an der Leine zu führen. Feuerstellen hat der Brandschutz verboten. "
        "Abfälle holt die Stadt alle zwei Wochen ab.\n\n"
        "Das Sommerfest findet am 3. August auf der Wiese statt. Die Kassenprüfer wählt die "
        "Versammlung für vier Jahre. Schlüssel verwahrt Frau Petersen.",
        (
            ("Wann ist die Verlosung einer Parzelle?", "Februar"),
            ("Was bezahlt ein neues Mitglied?", "35 Euro"),
            ("Wie hoch darf eine Hecke werden?", "1,20 Meter"),
            ("Wie lange leiht man ein Gerät aus?", "drei Tage"),
            ("In welchem Monat wird der Wasserhahn abgestellt?", "November"),
            ("Wer genehmigt eine Laube?", "Vorstands"),
            ("Wie oft wird der Abfall abgeholt?", "zwei Wochen"),
            ("Wie lange bleibt ein gewählter Kassenprüfer?", "vier Jahre"),
        ),
    ),
    "fr": LanguageText(
        "Bibliothèque du quartier",
        "Les abonnés empruntent huit livres à la fois. Les retards sont facturés dix centimes "
        "par jour. Les enfants doivent être accompagnés d'un adulte.\n\n"
        "Les documents réservés sont gardés une semaine au comptoir. Les ordinateurs se "
        "louent à l'heure pour deux euros. Les salles fermeront pendant les travaux de mars.\n\n"
        "Les journaux étrangers sont livrés le lundi. Les conférenciers sont choisis par Mme "
        "Aubry. Les animaux restent dehors.\n\n"
        "Les ateliers d'écriture commencent à dix-huit heures. Les cartes perdues seront "
        "remplacées pour cinq euros. Les dons sont acceptés au sous-sol.",
        (
            ("Combien de livres un abonné peut-il emprunter ?", "huit livres"),
            ("Quelle somme facture-t-on pour un retard ?", "dix centimes"),
            ("Qui accompagne un enfant ?", "un adulte"),
            ("Où garde-t-on un document que j'ai réservé ?", "comptoir"),
            ("À quel prix peut-on louer un ordinateur ?", "deux euros"),
            ("Quel jour livre-t-on un journal étranger ?", "lundi"),
            ("Qui choisit un conférencier ?", "Mme Aubry"),
            ("Que coûte une carte remplacée ?", "cinq euros"),
        ),
    ),
    "es": LanguageText(
        "Piscina municipal",
        "Los socios pagan 24 euros al mes. Los menores nadan gratis los domingos. Las toallas "
        "se alquilan en la entrada.\n\n"
        "Las clases empiezan a las siete de la tarde. Los gorros son obligatorios. Las "
        "taquillas se vacían cada noche.\n\n"
        "Los objetos perdidos se guardan durante quince días. Las duchas fueron renovadas en "
        "2019. Los monitores los contrata la señora Ibarra.\n\n"
        "Las bicicletas deben dejarse en el patio. Los grupos reservarán por teléfono. Los "
        "análisis del agua se publican los martes.",
        (
            ("¿Cuánto pago si soy socio?", "24 euros"),
            ("¿Qué día puede nadar gratis un menor?", "domingos"),
            ("¿Dónde puedo alquilar una toalla?", "entrada"),
            ("¿A qué hora empezaba la clase?", "siete de la tarde"),
            ("¿Cuánto tiempo guardan un objeto que perdí?", "quince días"),
            ("¿En qué año se renovó la ducha?", "2019"),
            ("¿Quién contrató al monitor?", "Ibarra"),
            ("¿Dónde dejo mi bicicleta?", "patio"),
        ),
    ),
    "it": LanguageText(
        "Condominio Le Querce",
        "Gli inquilini pagano l'affitto entro il giorno 5. Le biciclette si lasciano nel "
        "cortile. I rifiuti vengono raccolti il mercoledì.\n\n"
        "Le chiavi smarrite costano 12 euro. Gli ascensori sono controllati ogni sei mesi. Le "
        "feste finiscono alle undici.\n\n"
        "I lavori rumorosi sono vietati dopo le venti. Le assemblee sono convocate dal signor "
        "Bassi. I cani devono portare la museruola.\n\n"
        "Le cantine vennero allagate nel 2014. I balconi saranno ridipinti in primavera. Gli "
        "ospiti parcheggiano in strada.",
        (
            ("Entro quando paga un inquilino?", "giorno 5"),
            ("Dove posso lasciare la bicicletta?", "cortile"),
            ("In che giorno si raccoglie il rifiuto?", "mercoledì"),
            ("Quanto costa una chiave?", "12 euro"),
            ("Ogni quanto controllano l'ascensore?", "sei mesi"),
            ("Chi convoca l'assemblea?", "Bassi"),
            ("In che anno si allagò la cantina?", "2014"),
            ("Quando ridipingeranno il balcone?", "primavera"),
        ),
    ),
    "pt": LanguageText(
        "Clube de remo",
        "Os sócios pagam 18 euros por mês. Os barcos são lavados depois de cada treino. As "
        "crianças usam coletes vermelhos.\n\n"
        "Os remos partidos são reparados pelo senhor Teles. As provas começam às nove da "
        "manhã. Os balneários fecham ao meio-dia.\n\n"
        "As inscrições terminam em setembro. Os treinadores foram escolhidos em 2021. As "
        "chaves guardam-se no escritório.\n\n"
        "Os visitantes estacionam junto à ponte. As multas custam sete euros. Os cães ficam "
        "fora do cais.",
        (
            ("Quanto paga um sócio?", "18 euros"),
            ("Quando se lava um barco?", "cada treino"),
            ("De que cor é o colete da criança?", "vermelhos"),
            ("Quem repara um remo?", "Teles"),
            ("A que horas começa a prova?", "nove da manhã"),
            ("Em que mês termina a inscrição?", "setembro"),
            ("Em que ano escolheram o treinador?", "2021"),
            ("Onde estaciona um visitante?", "ponte"),
        ),
    ),
    "nl": LanguageText(
        "Volkstuinvereniging",
        "Contributies bedragen 40 euro per jaar. De tuinen worden in april verdeeld. Heggen "
        "mogen anderhalve meter hoog zijn.\n\n"
        "Gereedschappen worden voor twee dagen uitgeleend. De kranen worden in oktober "
        "afgesloten. Kinderen spelen op het grasveld.\n\n"
        "De sleutels liggen bij mevrouw Dekker. Honden zijn verboden tussen de bedden. "
        "Bijenkasten staan achter de schuur.\n\n"
        "De vergaderingen beginnen om acht uur. Boetes bedragen tien euro. Bezoekers parkeren "
        "naast het kanaal.",
        (
            ("Hoe hoog is de contributie?", "40 euro"),
            ("Wanneer verdeelt men een tuin?", "april"),
            ("Hoe hoog mag een heg zijn?", "anderhalve"),
            ("Hoe lang leent men gereedschap uit?", "twee dagen"),
            ("Wanneer sluit men de kraan af?", "oktober"),
            ("Bij wie ligt de sleutel?", "Dekker"),
            ("Waar staat een bijenkast?", "schuur"),
            ("Hoe laat begint de vergadering?", "acht uur"),
        ),
    ),
    "zh": LanguageText(
        "社区图书馆",
        "图书馆周一到周五上午九点开门，晚上八点关门。年卡的费用是六十元，学生免费。"
        "每位读者一次最多借五本书。\n\n"
        "借书期限为三个星期。逾期的书每天罚款五角。丢失的书由读者按原价赔偿。\n\n"
        "二楼的自习室禁止饮食。复印机在服务台旁边。王丽是馆长。",
        (
            ("年卡多少钱？", "六十元"),
            ("一次可以借几本书？", "五本"),
            ("借书期限是多久？", "三个星期"),
            ("复印机在哪里？", "服务台旁边"),
            ("谁是馆长？", "王丽"),
        ),
    ),
    "ja": LanguageText(
        "市民プール",
        "市民プールは火曜日から日曜日まで開いています。月曜日は休みです。"
        "大人の入場料は四百円です。\n\n"
        "水泳帽は必ずかぶってください。ロッカーの鍵をなくした場合は千円かかります。"
        "駐車場は建物の裏にあります。\n\n"
        "水泳教室は毎週木曜日に行われます。先生は田中さんです。",
        (
            ("大人の入場料はいくらですか。", "四百円"),
            ("休みは何曜日ですか。", "月曜日"),
            ("駐車場はどこにありますか。", "裏"),
            ("水泳教室はいつですか。", "木曜日"),
            ("ロッカーの鍵をなくしたらいくらかかりますか。", "千円"),
        ),
    ),
    "ko": LanguageText(
        "주민 체육관",
        "체육관은 오전 여섯 시에 문을 엽니다. 회원의 월 회비는 이만 원입니다. 사물함은 입구 옆에 "
        "있습니다.\n\n"
        "수영장은 매달 첫째 월요일에 청소합니다. 주차장은 건물 뒤에 있습니다. 관장은 김민수 "
        "씨입니다.",
        (
            ("회비가 얼마입니까?", "이만 원"),
            ("주차장이 어디에 있습니까?", "건물 뒤"),
            ("관장이 누구입니까?", "김민수"),
        ),
    ),
    "th": LanguageText(
        "สระว่ายน้ำชุมชน",
        "สระว่ายน้ำเปิดเวลาหกโมงเช้า ค่าสมาชิกปีละห้าร้อยบาท\n\nที่จอดรถอยู่หลังอาคาร ผู้จัดการชื่อสมชาย",
        (
            ("ค่าสมาชิกเท่าไหร่", "ห้าร้อยบาท"),
            ("ที่จอดรถอยู่ที่ไหน", "หลังอาคาร"),
        ),
    ),
}

ABSENT: Final = {
    # Of what none of the texts speaks.
    "de": (
        "Wer ist der Bürgermeister von Kopenhagen?",
        "Wie tief ist der Bodensee?",
        "Welche Farbe hat der Mars?",
        "Wann wurde das Telefon erfunden?",
        "Wie viele Einwohner hat Lissabon?",
    ),
    "fr": (
        "Qui est le maire de Copenhague ?",
        "Quelle est la profondeur du lac ?",
        "Quelle couleur a la planète Mars ?",
        "Quand le téléphone a-t-il été inventé ?",
        "Combien d'habitants compte Lisbonne ?",
    ),
    "es": (
        "¿Quién es el alcalde de Copenhague?",
        "¿Qué profundidad tiene el lago?",
        "¿De qué color es Marte?",
        "¿Cuándo se inventó el teléfono?",
    ),
    "it": (
        "Chi è il sindaco di Copenaghen?",
        "Quanto è profondo il lago?",
        "Di che colore è Marte?",
        "Quando è stato inventato il telefono?",
    ),
    "pt": (
        "Quem é o presidente da câmara de Copenhaga?",
        "Qual é a profundidade do lago?",
        "De que cor é Marte?",
        "Quando foi inventado o telefone?",
    ),
    "nl": (
        "Wie is de burgemeester van Kopenhagen?",
        "Hoe diep is het meer?",
        "Welke kleur heeft Mars?",
        "Wanneer werd de telefoon uitgevonden?",
    ),
    "zh": ("哥本哈根的市长是谁？", "火星是什么颜色？", "电话是什么时候发明的？"),
    "ja": (
        "火星は何色ですか。",
        "電話はいつ発明されましたか。",
        "コペンハーゲンの市長は誰ですか。",
    ),
}
