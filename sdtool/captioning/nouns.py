"""Nouns of things that people model, to tell what an object is from the words around it.

A word that stands here outweighs one that does not; nothing is ever refused for not standing here.
"""

THINGS = frozenset(
    """
    airplane aircraft alarm alien alligator altar ambulance amphora amplifier anchor angel ant
    antelope antenna anvil apartment apple aquarium arch archer armchair armor armour arrow asteroid
    astronaut avocado axe backpack bag bagel balcony ball balloon banana bank banjo barn barrel
    barrier baseball basin basket basketball bass bat bathroom bathtub battery bayonet beach bear
    beaker bear bed bedroom bee beetle bell bench bicycle bike bin binoculars bird bison blender
    blimp boar boat bomb bone book bookcase bookshelf boot bottle boulder bow bowl box bracelet
    bracket brain branch bread brick bridge broom brush bucket bug building bull bulldozer bullet
    bunker bunny burger bus bush bust butterfly cabin cabinet cactus cage cake calculator camel
    camera campfire candle candlestick cannon canoe cap car caravan card carpet carriage carrot cart
    case cassette castle cat catapult cathedral cauldron cave cello chainsaw chair chalice chameleon
    chandelier chapel chariot cheese cheetah cherry chess chest chicken chimney church cigar
    cigarette city clock cloud clown club coat cobra coffin coin column computer cookie corgi
    corridor couch cow cowboy crab crane crate creature crocodile crossbow crow crown crucifix
    crystal cube cup cupboard cupcake cyclops cylinder dagger deer demon desk detonator dice dinosaur
    dish dog doll dolphin donkey donut door doorway dragon drawer dress dresser drill drone drum duck
    dumbbell dumpster dungeon dwarf eagle earring easel egg elephant elevator elf engine envelope
    excavator eye face factory fan farm fence ferret figurine firetruck fireplace fish flag flamingo
    flashlight flower flute fly food foot forest fork forklift fort fortress fossil fountain fox
    frame fridge frog fruit fungus galaxy garage garden gargoyle gate gauge gazebo gear ghost giraffe
    glasses glider globe glove goat goblet goblin goggles goldfish golem goose gorilla grass
    grasshopper grave gravestone greenhouse grenade grill gramophone guitar gun hairdryer hallway
    halberd hamburger hammer hamster hand handbag handcuffs handle hangar harbor hare harp hat
    hatchet hawk head headphones headset heart hedge hedgehog helicopter helmet hen hippo hippopotamus
    hive honeycomb hoodie hook horn horse hospital hotel hourglass house hovercraft human hut hydrant
    hyena iguana insect island jacket jaguar jar jaw jeans jeep jellyfish jet joystick jug kangaroo
    katana kayak kettle key keyboard keychain kitchen kite kitten knife knight knob koala ladder
    ladybug lamp lamppost lantern laptop leaf lemon leopard letter library lighter lighthouse lion
    lizard llama lobster locker locomotive log logo lollipop longboat lorry mace machete machine
    magazine mailbox man mandolin mango mannequin mansion map mask mech mecha medal medallion
    megaphone melon mermaid meteor microphone microscope microwave mill minotaur mirror missile mixer
    moai molecule monitor monk monkey monster monument moon moose mosque moth motor motorbike
    motorcycle mountain mouse mouth mug mushroom necklace needle nest ninja notebook oak obelisk
    octopus office ogre olive onion orc orchid organ ornament ostrich otter oven owl padlock pagoda
    paintbrush painting palace palm pan panda panther paperclip parachute park parrot pavilion peach
    peacock pear pedestal pen pencil pendant penguin pepper phone phonograph piano pickaxe picture
    pie pier pig pigeon pillar pillow pineapple pipe pirate pistol pizza plane planet plant plate
    platform pliers plow podium polar-bear pool porch post poster pot potato potion power-plant pram
    printer propeller pterodactyl pump pumpkin puppet puppy purse pyramid python quadcopter rabbit
    raccoon rack radar radio raft rail railing rapier rat raven razor refrigerator reindeer
    restaurant revolver rhino rhinoceros rifle ring river robot rocket rock rocking-chair roof room
    rooster rose rover ruin ruins sabre sailboat salamander samurai sandal sandcastle sandwich
    satellite saucer sausage saw saxophone scarecrow scarf school scissors scooter scorpion screen
    screw screwdriver scroll sculpture seahorse seal seashell seat sedan shark shed sheep shelf shell
    shield ship shipwreck shirt shoe shop shotgun shovel shrimp shrine sign sink skateboard skeleton
    ski skirt skull skyscraper sled sledgehammer slipper snail snake sneaker snowboard snowflake
    snowman soda sofa soldier spaceship spaceshuttle spacesuit spatula speaker spear sphere sphinx
    spider spoon squid squirrel stadium staff stair staircase stairs stapler starfish station statue
    steering-wheel stereo stone stool stove strawberry street streetlight submarine suitcase sun
    sunflower sunglasses sushi swan sword syringe table tablet taco tank tap taxi teacup teapot
    teddy teddy-bear telephone telescope television temple tent terrain throne tie tiger toaster
    toilet tomato tomb tombstone tool toolbox tooth toothbrush torch tortoise torus totem toucan
    towel tower town toy tractor trailer train tram trash treasure tree trident tricycle trolley
    trombone trophy trousers trout truck trumpet trunk tulip tunnel turbine turkey turret turtle tv
    typewriter tyre tire ufo umbrella unicorn unicycle urn valve van vase vent viaduct villa village
    violin volcano vulture wagon wall wallet walrus wand wardrobe warehouse warrior warship watch
    waterfall watermelon waterwheel weapon well werewolf whale wheel wheelbarrow wheelchair whip
    whistle whiteboard windmill window wing witch wizard wolf woman workbench worm wreath wrench
    xylophone yacht yo-yo zebra zeppelin zombie
    """.split()
)

# Words for kinds of things: used if no tag is more specific. "" says nothing of the object.
KINDS = {
    "accessory": "an accessory", "animal": "an animal", "appliance": "an appliance",
    "architecture": "a building", "art": "", "artifact": "an artifact", "background": "",
    "building": "a building", "cartoon": "", "character": "a character", "city": "a city",
    "clothing": "a piece of clothing", "construction": "a building", "creature": "a creature",
    "culture": "", "decor": "a decorative object", "decoration": "a decorative object",
    "device": "a device", "drink": "a drink", "education": "", "electronic": "an electronic device",
    "engineering": "", "environment": "", "equipment": "a piece of equipment", "exterior": "",
    "fashion": "a piece of clothing", "female": "a woman", "figure": "a figure",
    "food": "a piece of food", "furniture": "a piece of furniture", "heritage": "",
    "historical": "", "history": "", "home": "", "human": "a person", "industry": "",
    "instrument": "an instrument", "interior": "an interior", "landscape": "a landscape",
    "level": "", "male": "a man", "mechanic": "", "mechanical": "a mechanical part",
    "museum": "a museum piece", "music": "a musical instrument", "nature": "",
    "object": "", "ornament": "an ornament", "outdoor": "", "part": "", "people": "people",
    "person": "a person", "plant": "a plant", "scene": "", "science": "", "space": "", "sport": "",
    "structure": "a structure", "technology": "", "tool": "a tool", "toy": "a toy",
    "transport": "a vehicle", "transportation": "a vehicle", "urban": "", "vegetation": "plants",
    "vehicle": "a vehicle", "war": "", "weapon": "a weapon", "wood": "",
}  # fmt: skip
