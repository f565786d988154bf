"""The word lists of the original's notebooks, every category with its versions pooled, doubles dropped."""

LISTS = {
    "time": """
        day night week month year hour minute second now soon later early late morning evening noon midnight dawn dusk
        past present future before after yesterday today tomorrow next previous fast slow quick moment instant era age
        decade century millennium while pause wait begin start end finish stop continue until since then when whenever
        always never forever constant frequent occasion season spring summer autumn fall winter anniversary deadline
        schedule calendar clock date duration interval epoch generation period cycle timespan shift quarter term turn
        phase lifetime timeline delay prompt timely recurrent daily weekly monthly yearly annual biweekly timeframe
    """,
    "calendar": """
        day night week month year hour minute second morning evening noon midnight dawn dusk yesterday today tomorrow
        decade century millennium season spring summer autumn fall winter calendar clock daily weekly monthly yearly
        annual biweekly timeframe
    """,
    "people": """
        man girl boy kid dad mom son sis bro pal mate boss chief cop guide priest king queen duke lord friend judge
        clerk coach team crew staff nurse doc vet cook maid clown star clan host guest peer guard spy fool punk nerd
        jock folk crowd
    """,
    "nature": """
        tree grass bush plant stone rock cliff hill dirt sand mud wind storm rain cloud sun moon star leaf branch twig
        root bark seed wave tide lake pond creek sea wood field shore snow ice flame fire fog dew hail sky earth glade
        cave peak ridge dust air mist heat
    """,
    "emotions": """
        joy glee pride grief fear hope love hate pain shame bliss rage calm shock dread guilt peace trust scorn doubt
        hurt wrath laugh cry smile frown gasp blush sigh grin woe spite envy glow thrill mirth bored cheer charm grace
        shy brave proud glad mad sad tense free kind cold
    """,
    "months": "January February March April May June July August September October November December",
    "weekdays": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "countries": """
        USA Canada Brazil Mexico Germany France Italy Spain UK Australia China Japan India Russia Korea Argentina
        Egypt Iran Turkey
    """,
    "biology": """
        gene dna rna virus bacteria fungus brain lung blood bone skin muscle nerve vein organ evolve enzyme protein
        lipid membrane antibody antigen ligand substrate receptor cell chromosome nucleus cytoplasm tissue heart liver
        kidney artery carbohydrate hormone vitamin mineral fungi algae plant animal human insect mammal bird fish
        reptile amphibian species population ecosystem habitat organism evolution mutation adaptation natural
        selection reproduction growth development metabolism digestion respiration circulation immune system
        homeostasis mitosis meiosis allele trait genome epigenetics biome ecology biosphere predator prey symbiosis
        parasitism commensalism photosynthesis chlorophyll cellular fermentation biodiversity taxonomy classification
        genus family order phylum kingdom domain eukaryote prokaryote mitochondria chloroplast ribosome vacuole
    """,
    "numeric": """
        one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
        eighteen nineteen twenty hundred thousand million billion trillion integer fraction decimal percentage ratio
        numeral digit prime even odd sum difference product factor multiple total count measure dozen score unit
    """,
    "numbers": "one two three four five six seven eight nine ten eleven twelve",
    "digits": "1 2 3 4 5 6 7 8 9 10",
    "spanish_numbers": "uno dos tres cuatro cinco seis siete ocho nueve",
    "science": """
        cell gene nerve brain blood bone heart lung star space light mass force wave speed sound time power heat cold
        charge spark flame bond quark atom ion gas wind ice plant rock probe test fact proof code law rule graph scale
        scope lens ray line chart flux phase shock pulse
    """,
    "animals": """
        dog cat rat bat pig cow fox wolf ram eel ant bee bug cub kit fawn calf colt foal hen duck goat bird crow fish
        frog deer worm moth gnat clam crab shrimp whale shark squid pup joey owl hare seal mule toad swan sow bull
        stag buck boar kite
    """,
    "colours": "red blue yellow green brown purple white black orange",
    "famous_names": """
        Einstein Newton Darwin Curie Galileo Tesla Hawking Feynman Pasteur Mendel Shakespeare Dickens Hemingway Austen
        Orwell Tolkien Faulkner Poe Joyce Steinbeck Lincoln Washington Roosevelt Churchill Gandhi Mandela Luther
        Kennedy Napoleon Cromwell Picasso Rembrandt Michelangelo Da_Vinci Van_Gogh Monet Dali Matisse Warhol Pollock
        Beethoven Mozart Bach Chopin Wagner Tchaikovsky Stravinsky Vivaldi Verdi Debussy Jobs Gates Musk Zuckerberg
        Buffett Bezos Branson Disney Ford Rockefeller Obama Clinton Reagan Thatcher Putin Merkel Castro Hitler Mao
        Stalin Freud Jung Pavlov Skinner Piaget Maslow Erikson Rogers Chomsky Bandura Ali Jordan Pele Ronaldo Messi
        Federer Williams Bolt Phelps Brady Chaplin Hitchcock Kubrick Spielberg Scorsese Tarantino Lucas Cameron
        Coppola Eastwood
    """,
    "pronouns": "she he her his it",
    "stories": """
        once upon a time let she he princess dragon king family girl boy queen mother father daughter man woman
    """,
    "unrelated": """
        apple bicycle cloud dog fountain guitar iceberg laptop mountain notebook quartz satellite umbrella xylophone
        yogurt balloon candle desert engine glove key lamp microscope nest quill robot sandwich unicorn vase window
        yarn zipper
    """,
    "random_words": """
        apple bicycle cloud dog elephant fountain guitar honey iceberg jelly kangaroo laptop mountain notebook ocean
        piano quartz river satellite tiger umbrella volcano whale xylophone yogurt zebra balloon candle desert engine
        forest glove hat insect jungle key lamp microscope nest octopus penguin quill robot sandwich tree unicorn vase
        window yarn zipper
    """,
}
LISTS = {name: [word.replace("_", " ") for word in words.split()] for name, words in LISTS.items()}
